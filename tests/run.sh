#!/usr/bin/env bash
# run.sh [STEP]... - installs what is missing and runs every test.
#
# Naming steps runs only these, one after the other; else all are run as
# `schedule` has them:
#   packages npm style debug unit plans asan release unit-asan integration
#   conformance fault bench fuzz-build clang lint integration-alone fuzz
# Environment: FUZZ_SECONDS (10) for each fuzz target, JOBS (all cores).
# Logs are kept in build/tests. The last line is "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

# Behind a | stands what needs a core all the time, and nobody waits for: it
# runs beside the steps before it, in the time that those leave it. What is
# judged by time has a line of its own.
schedule=(
    'packages npm style debug unit'
    'plans | asan release'
    'unit-asan'
    'integration conformance fault bench | fuzz-build clang lint'
    'integration-alone'
    'fuzz'
)
fuzz_seconds=${FUZZ_SECONDS:-10}
jobs=${JOBS:-$(nproc)}
logs=$PWD/build/tests
npm_dir=$PWD/build/npm

# --- counting -----------------------------------------------------------

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

# step NAME - one step, and its line when it is over. One that counts its own
# tests (ctest, node) is believed; any other is a single test. The count is left
# in NAME.count.
step() {
    local name=$1 log=$logs/$1.log start=$SECONDS rc=0 good bad
    "do_${name//-/_}" >"$log" 2>&1 </dev/null || rc=$?
    read -r good bad < <(figures "$log")
    if [ $((good + bad)) -eq 0 ]; then
        [ $rc -eq 0 ] && good=1 || bad=1
    elif [ $rc -ne 0 ] && [ "$bad" -eq 0 ]; then
        bad=1
    fi
    echo "$good $bad" >"$logs/$name.count"
    if [ "$bad" -eq 0 ]; then
        printf '%-18s ok      %4d passed  %4d s\n' "$name" "$good" \
            $((SECONDS - start))
    else
        printf '%-18s FAILED  %4d passed, %d failed  %d s  (%s)\n%s\n' "$name" \
            "$good" "$bad" $((SECONDS - start)) "$log" \
            "$(excerpt "$log" | sed 's/^/    /')"
    fi
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
        xargs -0 -P"$jobs" -n1 clang-tidy -p build/debug --quiet
}

build() { cmake --preset "$1" && cmake --build --preset "$1" -j"$jobs"; }
do_debug() { build debug; }
do_asan() { build asan; }
do_clang() { build clang; }
do_release() { build release; }
do_fuzz_build() { build fuzz; }

unit() {
    ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 \
        ctest --test-dir "build/$1" -j"$jobs" --output-on-failure
}
do_unit() { unit debug; }
do_unit_asan() { unit asan; }

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
    local source started=0
    build fuzz || return 1
    for source in tests/fuzz/fuzz_*.c; do
        if [ $((started++)) -ge "$jobs" ]; then
            wait -n
        fi
        fuzz_one "$(basename "$source" .c)" &
    done
    wait
    echo "# pass $(grep -c '^ok ' "$logs/fuzz.log")"
    echo "# fail $(grep -c '^not ok ' "$logs/fuzz.log")"
    ! grep -q '^not ok ' "$logs/fuzz.log"
}

# node_tests CONCURRENCY FILE... - against the ASan binary.
node_tests() {
    POSTHASTE_BIN=${POSTHASTE_BIN:-$PWD/build/asan/posthaste} \
        POSTHASTE_NPM=$npm_dir \
        node --test --test-reporter=tap --test-concurrency="$1" "${@:2}"
}

# The files of tests/integration that say in a line that others may run at the
# same time: they wait for events most of the time, and no bound of theirs is
# near. Any other file may measure time, or load the machine, and is run alone.
beside='// Runs beside others.'

do_integration() {
    local files
    mapfile -t files < <(grep -lx "$beside" tests/integration/*.test.mjs)
    node_tests $((2 * jobs)) "${files[@]}"
}

do_integration_alone() {
    local files
    mapfile -t files < <(grep -Lx "$beside" tests/integration/*.test.mjs)
    node_tests 1 "${files[@]}"
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

# What the catalogue of SMTP servers' behaviour asks, row by row.
do_conformance() {
    node_tests "$jobs" tests/fault/conformance_*.test.mjs
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
        soak bigbody beside stuck compose template smtp_engine smtp_rtt smtp_reuse smtp_stuck smtp_hedge big smtpsink; do
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

lane() {
    local name
    for name in "$@"; do
        step "$name"
    done
}

# Lanes are process groups: who ends us ends all that they have started.
set -m
lanes=()
end_lanes() {
    local pid
    for pid in "${lanes[@]}"; do
        kill -- "-$pid" 2>/dev/null
    done
    exit 1
}
trap end_lanes INT TERM HUP

# side_by_side 'STEP... | STEP...'
side_by_side() {
    local front back
    IFS='|' read -r front back <<<"$1"
    read -ra front <<<"$front"
    read -ra back <<<"$back"
    lane "${front[@]}" &
    lanes=($!)
    (renice -n 15 -p $BASHPID >/dev/null && lane "${back[@]}") &
    lanes+=($!)
    wait "${lanes[@]}"
    lanes=()
}

[ $# -eq 0 ] || schedule=("$*")
read -ra steps <<<"${schedule[*]//|/}"
for name in "${steps[@]}"; do
    declare -F "do_${name//-/_}" >/dev/null || {
        echo "run.sh: no step '$name'; the head of the script has them" >&2
        exit 2
    }
done
mkdir -p "$logs"
rm -f "$logs"/*.count
for line in "${schedule[@]}"; do
    side_by_side "$line"
done
passed=0
failed=0
for name in "${steps[@]}"; do
    good=0 bad=1 # of one that did not get to its end
    read -r good bad 2>/dev/null <"$logs/$name.count"
    passed=$((passed + good))
    failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
