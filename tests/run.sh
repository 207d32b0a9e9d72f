#!/usr/bin/env bash
# run.sh [STEP]... - installs what is missing and runs every test.
#
# Steps, in this order; naming some runs only these:
#   packages npm style debug lint unit asan unit-asan clang release fuzz
#   integration fault conformance plans bench
# Environment: FUZZ_SECONDS (10) for each fuzz target, JOBS (all cores).
# Logs are kept in build/tests. The last line is "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

steps=(packages npm style debug lint unit asan unit-asan clang release fuzz
    integration fault conformance plans bench)
fuzz_seconds=${FUZZ_SECONDS:-10}
jobs=${JOBS:-$(nproc)}
logs=$PWD/build/tests
npm_dir=$PWD/build/npm
passed=0
failed=0

# --- counting -----------------------------------------------------------

count() {
    passed=$((passed + $1))
    failed=$((failed + $2))
}

# The figures of the ctest or node runs in log $1, as "passed failed".
figures() {
    awk '/^[0-9]+% tests passed, [0-9]+ tests? failed out of [0-9]+/ {
             bad = $4; good = $NF - $4 }
         /^# pass [0-9]+/ { good += $3 }
         /^# fail [0-9]+/ { bad += $3 }
         /^# cancelled [0-9]+/ { bad += $3 }
         END { print good + 0, bad + 0 }' "$1"
}

# What a person wants to see of a failed step's log.
excerpt() {
    local found
    found=$(grep -nE '^ *not ok|\*\*\*Failed|\*\*\*Timeout|\*\*\*Exception|error:|FAILED|AddressSanitizer|runtime error' \
        "$1" | head -n 20)
    [ -z "$found" ] || printf '%s\n  ...\n' "$found"
    tail -n 40 "$1"
}

# step NAME COMMAND... - one step with its time. A command that counts its own
# tests (ctest, node) is believed; any other one is a single test.
step() {
    local name=$1 log=$logs/$1.log start=$SECONDS rc=0 good bad
    shift
    printf '%-12s ' "$name"
    "$@" >"$log" 2>&1 </dev/null || rc=$?
    read -r good bad < <(figures "$log")
    if [ $((good + bad)) -eq 0 ]; then
        [ $rc -eq 0 ] && good=1 || bad=1
    elif [ $rc -ne 0 ] && [ "$bad" -eq 0 ]; then
        bad=1
    fi
    count "$good" "$bad"
    if [ "$bad" -eq 0 ]; then
        printf 'ok      %4d passed  %4d s\n' "$good" $((SECONDS - start))
    else
        printf 'FAILED  %4d passed, %d failed  %d s  (%s)\n' "$good" "$bad" \
            $((SECONDS - start)) "$log"
        excerpt "$log" | sed 's/^/    /'
    fi
    return $((bad > 0))
}

# --- the steps ----------------------------------------------------------

do_packages() {
    bash deploy/packages.sh build test &&
        bash tests/tools/exim.sh build/exim
}

# Installs tests/package.json once for each of its lock files.
do_npm() {
    mkdir -p "$npm_dir"
    if cmp -s tests/package-lock.json "$npm_dir/installed"; then
        return 0
    fi
    cp tests/package.json tests/package-lock.json "$npm_dir" &&
        npm ci --prefix "$npm_dir" --ignore-scripts --no-audit --no-fund &&
        cp tests/package-lock.json "$npm_dir/installed"
}

# The node that tests/package.json pins, or this machine's own.
node() {
    local own=("$npm_dir"/node_modules/node-linux-*/bin/node)
    if [ -x "${own[0]}" ]; then
        "${own[0]}" "$@"
    else
        command node "$@"
    fi
}

do_style() {
    local files scripts
    mapfile -t files < <(find server api queue smtp tests -name '*.[ch]')
    mapfile -t scripts < <(find tests deploy .ci -type f \
        \( -name '*.sh' -o -path .ci/run \))
    clang-format --dry-run --Werror "${files[@]}" &&
        shellcheck "${scripts[@]}"
}

# Needs the debug build for its compile commands and embedded scripts.
do_lint() {
    cppcheck -j"$jobs" -q --std=c11 --error-exitcode=1 --inline-suppr \
        --enable=warning,style,performance,portability \
        --suppressions-list=.cppcheck -I. -Ibuild/debug/generated \
        server api queue smtp &&
        find server api queue smtp -name '*.c' -print0 |
        xargs -0 -P"$jobs" -n4 clang-tidy -p build/debug --quiet
}

do_build() { cmake --preset "$1" && cmake --build --preset "$1" -j"$jobs"; }

do_ctest() {
    ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 \
        ctest --test-dir "build/$1" -j"$jobs" --output-on-failure
}

# One fuzz target for some seconds on a copy of its corpus.
fuzz_one() {
    local name=$1 corpus=$logs/corpus/$1
    rm -rf "$corpus"
    mkdir -p "$corpus"
    cp "tests/fuzz/corpus/$name"/* "$corpus"
    cd "$logs/corpus" || return 1
    if "../../fuzz/tests/$name" -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
        -max_total_time="$fuzz_seconds" "$corpus" \
        >"$name.log" 2>&1; then
        echo "ok $name"
    else
        cat "$name.log"
        echo "not ok $name"
    fi
}

# As many at a time as there are cores.
do_fuzz() {
    local source
    do_build fuzz || return 1
    for source in tests/fuzz/fuzz_*.c; do
        while [ "$(jobs -pr | wc -l)" -ge "$jobs" ]; do
            wait -n
        done
        fuzz_one "$(basename "$source" .c)" &
    done
    wait
    echo "# pass $(grep -c '^ok ' "$logs/fuzz.log")"
    echo "# fail $(grep -c '^not ok ' "$logs/fuzz.log")"
    ! grep -q '^not ok ' "$logs/fuzz.log"
}

# Everything in tests/integration against the ASan binary.
do_integration() {
    POSTHASTE_BIN=${POSTHASTE_BIN:-$PWD/build/asan/posthaste} \
        POSTHASTE_NPM=$npm_dir \
        node --test --test-reporter=tap --test-concurrency=1 \
        tests/integration/*.test.mjs
}

crash_points() {
    POSTHASTE_BIN=${POSTHASTE_BIN:-$PWD/build/asan/posthaste} \
        POSTHASTE_NPM=$npm_dir \
        node tests/fault/crash_points.mjs --kills 3 --lanes 3 "$@"
}

# Three deaths at each crash point, alone and in a crowd, of the ASan binary;
# and what a journal changes.
do_fault() {
    crash_points &&
        crash_points --journal smtp.dot_answered worker.reported result.sent \
            supervisor.replay_sent supervisor.replayed
}

# What the catalogue of SMTP servers' behaviour asks, row by row, of the ASan
# binary.
do_conformance() {
    POSTHASTE_BIN=${POSTHASTE_BIN:-$PWD/build/asan/posthaste} \
        POSTHASTE_NPM=$npm_dir \
        node --test --test-reporter=tap --test-concurrency=1 \
        tests/fault/conformance_*.test.mjs
}

# Each plan of trouble once, of the debug binary: the sanitizers would make it
# too slow for what a caller may be kept waiting.
do_plans() {
    POSTHASTE_NPM=$npm_dir bash tests/fault/run.sh --untimed
}

# Each benchmark once, tiny: that it works, not how fast it is.
do_bench() {
    local name rc=0
    for name in accept accept_template pipeline signing lanes memory queue partitions retention \
        bigbody beside compose template smtp_engine smtp_rtt smtp_reuse smtp_stuck smtp_hedge big smtpsink; do
        echo "== $name"
        if bash tests/bench/run.sh "$name" --tiny; then
            echo "ok $name"
        else
            echo "not ok $name"
            rc=1
        fi
    done
    echo "# pass $(grep -c '^ok ' "$logs/bench.log")"
    echo "# fail $(grep -c '^not ok ' "$logs/bench.log")"
    return $rc
}

run() {
    case $1 in
    packages) step packages do_packages ;;
    npm) step npm do_npm ;;
    style) step style do_style ;;
    lint) step lint do_lint ;;
    debug | asan | clang | release) step "$1" do_build "$1" ;;
    unit) step unit do_ctest debug ;;
    unit-asan) step unit-asan do_ctest asan ;;
    fuzz) step fuzz do_fuzz ;;
    integration) step integration do_integration ;;
    fault) step fault do_fault ;;
    conformance) step conformance do_conformance ;;
    plans) step plans do_plans ;;
    bench) step bench do_bench ;;
    *)
        echo "run.sh: no step '$1'; there are: ${steps[*]}" >&2
        exit 2
        ;;
    esac
}

mkdir -p "$logs"
[ $# -gt 0 ] || set -- "${steps[@]}"
for name in "$@"; do
    run "$name"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
