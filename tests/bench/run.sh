#!/usr/bin/env bash
# run.sh NAME [--tiny] - starts what a benchmark needs and runs it.
#
# NAME is accept, accept_template, pipeline, signing, lanes, memory, queue, partitions,
# retention, soak, bigbody, beside, stuck, compose, template, smtp_engine, smtp_rtt, smtp_reuse, smtp_stuck, smtp_hedge, big or
# smtpsink; engine, rtt, reuse and hedge are those with smtp_ before it, and resume
# is a figure of reuse.
# Prints lines "name value unit"; the peer's figures come from the same run.
# --tiny does little of everything and leaves the peer out: it shows that the
# benchmark works. The binary is build/release/posthaste (or POSTHASTE_BIN), made with
#   cmake --preset release && cmake --build --preset release
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
build=$root/build/release
bin=${POSTHASTE_BIN:-$build/posthaste}
name=${1:?"usage: run.sh NAME [--tiny]"}
case $name in
    engine | rtt | reuse | hedge) name=smtp_$name ;;
    resume) name=smtp_reuse ;;
esac
tiny=false
[ "${2:-}" != --tiny ] || tiny=true

work=$(mktemp -d)
pids=()

finish() {
    local pid
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    wait
    rm -rf "$work"
}
trap finish EXIT

# --- what runs ----------------------------------------------------------

# start NAME COMMAND... - in the background, with its id in $started.
start() {
    local log=$work/$1.log
    shift
    "$@" >"$log" 2>&1 </dev/null &
    started=$!
    pids+=("$started")
}

stop() {
    kill "$1"
    wait "$1" || true
}

# Waits until the command succeeds.
await() {
    local what=$1 i
    shift
    for ((i = 0; i < 1000; i++)); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.02
    done
    echo "run.sh: $what: not within 20 s" >&2
    tail -n 20 "$work"/*.log >&2
    exit 1
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
silent() { ! answers "$1"; }

# A free port below those that the kernel hands out.
free_port() {
    local port
    while port=$((20000 + RANDOM % 12000)); do
        silent "$port" && break
    done
    echo "$port"
}

# start_redis FSYNC - port in $redis, process in $redis_pid.
start_redis() {
    redis=$(free_port)
    mkdir -p "$work/redis-$redis"
    start "redis-$redis" redis-server --port "$redis" --bind 127.0.0.1 \
        --dir "$work/redis-$redis" --save '' --appendonly yes \
        --appendfsync "$1" --maxmemory 6gb --maxmemory-policy noeviction \
        --auto-aof-rewrite-min-size 2gb
    redis_pid=$started
    await redis redis-cli -p "$redis" ping
}

# start_service ROLE... - roles over $redis, sending to $sink_port; port in
# $port, API key in $key, process of each role in ${role[ROLE]}.
declare -A role admin
configure() {
    port=$(free_port)
    admin[api]=$(free_port)
    admin[worker]=$(free_port)
    admin[hooks]=$(free_port)
    cat >"$work/posthaste.toml" <<TOML
[api]
listen = ["127.0.0.1:$port"]
admin_listen = "127.0.0.1:${admin[api]}"
connections_per_ip = 4096
[redis]
url = "redis://127.0.0.1:$redis/0"
[secrets]
keyring_file = "$work/keyring"
${worker_secrets:-}
[worker]
admin_listen = "127.0.0.1:${admin[worker]}"
[hooks]
admin_listen = "127.0.0.1:${admin[hooks]}"
[webhook]
allow_private = true
ports = []
[limits]
rate = ""
[log]
level = "warn"
[[upstream]]
name = "sink"
host = "127.0.0.1"
port = $sink_port
tls = "off"
auth = "none"
max_sessions = 64
messages_per_session = 1000000
TOML
    rm -f "$work/keyring"
    "$bin" keyring create "$work/keyring" >/dev/null
}

start_role() {
    start "$1" "$bin" "$1" --config "$work/posthaste.toml" \
        --children "${CHILDREN:-1}"
    role[$1]=$started
    await "$1" curl -fsS "http://127.0.0.1:${admin[$1]}/readyz"
}

make_key() {
    key=$("$bin" keys create --config "$work/posthaste.toml" --name bench |
        grep -oE 'ph_[a-z]+_[^"[:space:]]+')
}

# --- the peer -----------------------------------------------------------

peer_npm=$root/build/peers
# The node of tests/package.json where tests/run.sh has installed it.
node=$(compgen -G "$root/build/npm/node_modules/node-linux-*/bin/node" ||
    command -v node)
install_peer() {
    cmp -s tests/bench/peers/package-lock.json "$peer_npm/installed" && return
    mkdir -p "$peer_npm"
    cp tests/bench/peers/package.json tests/bench/peers/package-lock.json \
        "$peer_npm"
    npm ci --prefix "$peer_npm" --ignore-scripts --no-audit --no-fund \
        >"$work/npm.log" 2>&1
    cp tests/bench/peers/package-lock.json "$peer_npm/installed"
}

# start_peer ROLE - over $redis, sending to $sink_port; port in $peer_port.
start_peer() {
    [ "$1" != api ] || peer_port=$(free_port)
    start "peer-$1" env REDIS_PORT="$redis" PORT="${peer_port:-}" \
        SINK_PORT="$sink_port" PEER_NPM="$peer_npm" \
        "$node" tests/bench/peers/peer.mjs "$1"
    peer[$1]=$started
    await "peer $1" grep -q ready "$work/peer-$1.log"
}
declare -A peer

# Postfix with its defaults in $postfix_port, sending to $sink_port. Needs root.
start_postfix() {
    local dir=$work/postfix
    postfix_port=$(free_port)
    mkdir -p "$dir/etc" "$dir/queue" "$dir/data"
    chmod 755 "$work" "$dir" "$dir"/*
    chown postfix "$dir/data"
    cat >"$dir/etc/main.cf" <<CF
compatibility_level = 3.6
queue_directory = $dir/queue
data_directory = $dir/data
maillog_file_prefixes = $dir
maillog_file = $dir/maillog
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.bench.example
alias_maps =
alias_database =
relayhost = [127.0.0.1]:$sink_port
CF
    # Not in a chroot, which has no resolver.
    awk -v port="127.0.0.1:$postfix_port" '
        /^[a-z]/ { if ($1 == "smtp" && $2 == "inet") $1 = port; $5 = "n"; print }
        ' /usr/share/postfix/master.cf.dist >"$dir/etc/master.cf"
    postfix -c "$dir/etc" start >"$work/postfix.log" 2>&1
    read -r postfix_pid <"$dir/queue/pid/master.pid"
    pids+=("$postfix_pid")
    await postfix answers "$postfix_port"
}

# The sink on $sink_port; it ends when descriptor 8 is closed.
start_sink() {
    mkfifo "$work/input"
    "$build/tests/bench_smtpsink" --port "$sink_port" <"$work/input" \
        >"$work/smtpsink.log" &
    sink_pid=$!
    pids+=("$sink_pid")
    exec 8>"$work/input"
    await sink answers "$sink_port"
}

# The ceiling of accept, over $redis.
start_bare() {
    bare_port=$(free_port)
    start bare "$build/tests/bench_bare" --port "$bare_port" --redis "$redis"
    bare_pid=$started
    await bare grep -q listening "$work/bare.log"
}

# --- the benchmarks -----------------------------------------------------

bench() { "$build/tests/bench_$1" "${@:2}"; }
sink_port=$(free_port)

run_accept() {
    local fsync requests=30000
    ! $tiny || requests=600
    for fsync in everysec always; do
        start_redis $fsync
        configure
        start_role api
        make_key
        bench accept --port "$port" --key "$key" --prefix "accept_$fsync" \
            --requests $requests --pids "${role[api]}" \
            --redis-pids "$redis_pid"
        stop "${role[api]}"
        start_bare
        bench accept --port "$bare_port" --prefix "accept_bare_$fsync" \
            --requests $requests --pairs 0
        stop "$bare_pid"
        stop "$redis_pid"
    done
    ! $tiny || return 0
    install_peer
    start_redis everysec
    start_peer api
    bench accept --port "$peer_port" --path /emails --prefix accept_peer \
        --requests 10000 --pairs 0 --pids "${peer[api]}" \
        --redis-pids "$redis_pid"
}

# A mail from a published template beside the same mail as html and text.
run_accept_template() {
    local requests=5000 turns=5 mail=tests/bench/data/verification
    ! $tiny || { requests=200 turns=1; }
    start_redis everysec
    configure
    start_role api
    make_key
    bench accept_template --port "$port" --key "$key" \
        --template $mail.mustache --data $mail.json \
        --requests $requests --turns $turns --pids "${role[api]}"
}

run_pipeline() {
    local fsync mails=30000 seconds=10
    ! $tiny || { mails=500 seconds=1; }
    for fsync in everysec always; do
        start_redis $fsync
        configure
        start_role api
        start_role worker
        make_key
        bench pipeline --port "$port" --key "$key" --sink-port "$sink_port" \
            --prefix "pipeline_$fsync" --mails $mails --seconds $seconds \
            --pids "${role[worker]}"
        stop "${role[worker]}"
        stop "${role[api]}"
        stop "$redis_pid"
    done
    ! $tiny || return 0
    install_peer
    start_redis everysec
    start_peer worker
    start_peer api
    bench pipeline --port "$peer_port" --path /emails --prefix pipeline_peer \
        --sink-port "$sink_port" --mails 5000 --seconds $seconds \
        --pids "${peer[worker]}"
    stop "${peer[api]}"
    stop "${peer[worker]}"
    stop "$redis_pid"
    start_postfix
    bench pipeline --smtp-port "$postfix_port" --prefix pipeline_postfix \
        --sink-port "$sink_port" --mails 4000
}

# A verification mail alone, then with that many bulk mails before it (or
# LANES_BULK, of LANES_CLASS), LANES_RATE a second. Says how much later it is.
run_lanes() {
    local bulk=${LANES_BULK:-1000000} seconds=20 rate=${LANES_RATE:-200}
    ! $tiny || { bulk=10000 seconds=1; }
    start_redis everysec
    configure
    start_role api
    start_role worker
    make_key
    bench lanes mail --port "$port" --key "$key" --sink-port "$sink_port" \
        --prefix lanes_idle --rate "$rate" --seconds $seconds |
        tee "$work/idle"
    stop "${role[worker]}"
    bench lanes fill --redis "$redis" --first $((seconds * rate)) \
        --mails "$bulk" --class "${LANES_CLASS:-bulk}"
    # Gigabytes on their way to the disk would hold up every write of Redis.
    sync "$work/redis-$redis"/appendonlydir/*
    start_role worker
    bench lanes mail --port "$port" --key "$key" --sink-port "$sink_port" \
        --prefix lanes_busy --rate "$rate" --seconds $seconds --bulk "$bulk" |
        tee "$work/busy"
    awk 'NR == FNR { idle[$1] = $2; next }
         sub("^lanes_busy_p", "", $1) {
             printf "lanes_ratio_p%s %.3f times\n", $1,
                 $2 / idle["lanes_idle_p" $1] }' "$work/idle" "$work/busy"
}

run_memory() {
    local mails=100000 clients=1000
    ! $tiny || { mails=2000 clients=50; }
    start_redis everysec
    configure
    start_role api
    start_role worker
    make_key
    bench memory rest --pids "${role[api]},${role[worker]}"
    bench memory clients --port "$port" --key "$key" --pids "${role[api]}" \
        --clients $clients
    stop "${role[worker]}"
    bench memory queued --port "$port" --key "$key" --redis "$redis" \
        --mails $mails
    start_sink
    start_role worker
    bench memory drain --redis "$redis" --mails $mails \
        --pids "${role[api]},${role[worker]}"
}

# The scripts alone: no HTTP, no SMTP.
run_queue() {
    local mails=50000 queued
    ! $tiny || mails=1000
    start_redis everysec
    bench queue --redis "$redis" --mails $mails
    stop "$redis_pid"
    ! $tiny || return 0
    # The cost of each must be the same. Behind 2^20 Redis doubles a table, and
    # that is paid, in small steps, by the calls of the next minutes.
    for queued in 1000 100000 990000; do
        start_redis everysec
        bench queue --redis "$redis" --mails $mails --queued $queued \
            --prefix "queue_behind_$queued"
        stop "$redis_pid"
    done
}

# One of the two masters of a cluster; its port in $redis.
start_master() {
    redis=$(free_cluster_port)
    mkdir "$work/node$redis"
    start "node$redis" redis-server --port "$redis" --bind 127.0.0.1 \
        --dir "$work/node$redis" --save '' --appendonly yes \
        --appendfsync everysec --maxmemory 1gb --maxmemory-policy noeviction \
        --cluster-enabled yes
    await "redis-server" redis-cli -p "$redis" ping
}

# The bus listens 10000 above.
free_cluster_port() {
    local port
    while :; do
        port=$((12000 + RANDOM % 8000))
        silent $port && silent $((port + 10000)) && break
    done
    echo $port
}

# CPU time of a server's main thread, in microseconds.
main_thread_us() {
    redis-cli -p "$1" info cpu | awk -F'[:\r]' \
        '/main_thread/ { sum += $2 } END { printf "%.0f\n", sum * 1e6 }'
}

cluster_is_whole() { redis-cli -p "$1" cluster info | grep -q state:ok; }

# Two masters; the slots of partitions 0 and 1 are in the upper half, those
# of 2 and 3 in the lower one. The rate is bound by the machine's cores, which
# servers and client share; what the busiest master spends on a mail is not.
run_partitions() {
    local mails=20000 rounds=3 one two round count line before after rates cpus
    if $tiny; then
        mails=400
        rounds=1
    fi
    start_master
    one=$redis
    start_master
    two=$redis
    redis-cli -p "$one" cluster addslotsrange 0 8191 >/dev/null
    redis-cli -p "$two" cluster addslotsrange 8192 16383 >/dev/null
    redis-cli -p "$two" cluster set-config-epoch 2 >/dev/null
    redis-cli -p "$one" cluster meet 127.0.0.1 "$two" >/dev/null
    await "the cluster" cluster_is_whole "$one"
    await "the cluster" cluster_is_whole "$two"
    for ((round = 0; round < rounds; round++)); do
        for count in 1 4; do
            redis-cli -p "$one" flushall >/dev/null
            redis-cli -p "$two" flushall >/dev/null
            redis-cli -c -p "$one" hset ph:meta partitions $count >/dev/null
            before=("$(main_thread_us "$one")" "$(main_thread_us "$two")")
            line=$(bench partitions --url "cluster://127.0.0.1:$one/" \
                --partitions $count --mails $mails)
            after=("$(main_thread_us "$one")" "$(main_thread_us "$two")")
            echo "$line"
            line=${line#* }
            rates[count]=${line% *}
            cpus[count]=$(awk -v a=$((after[0] - before[0])) \
                -v b=$((after[1] - before[1])) -v mails=$mails \
                'BEGIN { printf "%.1f", (a > b ? a : b) / mails }')
            echo "partitions_${count}_busiest_cpu ${cpus[$count]} us"
        done
        awk -v a="${rates[4]}" -v b="${rates[1]}" -v c="${cpus[4]}" \
            -v d="${cpus[1]}" 'BEGIN { printf "partitions_ratio %.2f x\n" \
                "partitions_busiest_cpu_ratio %.2f x\n", a / b, c / d }'
    done
}

# MAILS=200000 for a shorter run.
run_retention() {
    local mails=${MAILS:-1000000} parts=10
    ! $tiny || { mails=2000 parts=4; }
    start_redis everysec
    bench retention --redis "$redis" --mails "$mails" --parts $parts
}

# A million mails through api, worker and hooks, with one endpoint.
run_soak() {
    local mails=${MAILS:-1000000} parts=10
    ! $tiny || { mails=1000 parts=2; }
    start_redis everysec
    configure
    start_role api
    start_role worker
    start_role hooks
    make_key
    hook_port=$(free_port)
    start receiver env PORT="$hook_port" "$node" tests/bench/peers/receiver.mjs
    await receiver grep -q ready "$work/receiver.log"
    post webhooks "{\"endpoint\": \"http://127.0.0.1:$hook_port/\",
        \"events\": [\"email.sent\"]}" >/dev/null
    bench soak --port "$port" --key "$key" --sink-port "$sink_port" \
        --mails "$mails" --parts $parts \
        --roles "api=${role[api]},worker=${role[worker]},hooks=${role[hooks]}"
}

run_bigbody() {
    local seconds=10
    ! $tiny || seconds=2
    start_redis everysec
    configure
    start_role api
    make_key
    bench bigbody --port "$port" --key "$key" --seconds $seconds
}

run_beside() {
    local seconds=10 bytes=25000000
    ! $tiny || seconds=2 bytes=2000000
    start_redis everysec
    configure
    start_role api
    start_role worker
    make_key
    bench beside --port "$port" --sink-port "$sink_port" --key "$key" \
        --seconds $seconds --bytes $bytes
}

# Small mails alone, and beside an upstream that is stuck with thousands of
# others: by turns, each in a service of its own.
run_stuck() {
    local round kind rounds=3 seconds=20 mails=5000 sessions=32 args
    ! $tiny || { rounds=1 seconds=1 mails=50 sessions=4; }
    for ((round = 0; round < rounds; round++)); do
        for kind in alone beside; do
            args=()
            # A quarter of the sessions is kept for codes.
            [ $kind = alone ] ||
                args=(--mails "$mails" --sessions "$((sessions * 3 / 4))")
            start_redis everysec
            configure
            add_stuck_upstream $sessions
            start_role api
            start_role worker
            make_key
            bench stuck --port "$port" --sink-port "$sink_port" \
                --stuck-port "$stuck_port" --key "$key" --seconds $seconds \
                --prefix "stuck_$kind" "${args[@]}" | tee -a "$work/stuck"
            stop "${role[worker]}"
            stop "${role[api]}"
            stop "$redis_pid"
        done
    done
    for kind in p50 p99; do
        awk -v a="$(median_of "stuck_alone_$kind" "$work/stuck")" \
            -v b="$(median_of "stuck_beside_$kind" "$work/stuck")" \
            -v kind=$kind 'BEGIN { printf "stuck_%s_ratio %.2f x\n", kind, b / a }'
    done
}

# add_stuck_upstream SESSIONS - has the mail to stuck.test, on $stuck_port.
add_stuck_upstream() {
    stuck_port=$(free_port)
    cat >>"$work/posthaste.toml" <<TOML
[[upstream]]
name = "stuck"
host = "127.0.0.1"
port = $stuck_port
tls = "off"
auth = "none"
max_sessions = $1
banner_timeout = "300s"
[[route]]
name = "stuck"
to_domain = "stuck.test"
upstreams = ["stuck"]
[[route]]
name = "all"
upstreams = ["sink"]
TOML
}

median_of() {
    awk -v name="$1" '$1 == name { print $2 }' "$2" | sort -g |
        awk '{ at[NR] = $1 } END { print at[int((NR + 1) / 2)] }'
}

run_compose() {
    local rounds=20000
    ! $tiny || rounds=200
    bench compose --rounds $rounds
}

# A verification mail, and the same by npm mustache.
run_template() {
    local rounds=50000 mail=tests/bench/data/verification
    ! $tiny || rounds=200
    bench template --template $mail.mustache --data $mail.json \
        --rounds $rounds
    ! $tiny || return 0
    install_peer
    PEER_NPM="$peer_npm" "$node" tests/bench/peers/render.mjs \
        $mail.mustache $mail.json $rounds
}

# Beside Postfix's smtp-sink and smtp-source, which knows no TLS.
run_smtp_engine() {
    local mails=100000 postfix_sink
    ! $tiny || mails=1000
    postfix_sink=$(free_port)
    start smtp-sink smtp-sink -u nobody "127.0.0.1:$postfix_sink" 64
    await smtp-sink answers "$postfix_sink"
    bench smtp_engine --mails $mails --postfix-sink "$postfix_sink"
    smtp_source engine.source_postfix_sink "$postfix_sink" $mails
    start_sink
    smtp_source engine.source "$sink_port" $mails
}

# smtp_source NAME PORT MAILS - as many of as many bytes on as many sessions.
smtp_source() {
    local TIMEFORMAT='%R %U %S'
    { time smtp-source -d -s 16 -l 2048 -m "$3" -f a@bench.example \
        -t n0@sink.example "127.0.0.1:$2"; } 2>"$work/time"
    awk -v name="$1" -v mails="$3" '{
        cpu = $2 + $3
        printf "%s.rate %.3f mails/s\n", name, mails / $1
        printf "%s.per_core %.3f mails/s\n", name, mails / cpu
        printf "%s.cpu %.3f us each\n", name, cpu / mails * 1e6 }' \
        "$work/time"
}

# An upstream 20 ms away.
run_smtp_rtt() {
    local seconds=10
    ! $tiny || seconds=1
    bench smtp_rtt --seconds $seconds
}

run_smtp_reuse() {
    local mails=20000
    ! $tiny || mails=1000
    bench smtp_reuse --mails $mails
}

run_smtp_stuck() {
    local mails=20000
    ! $tiny || mails=1000
    bench smtp_stuck --mails $mails
}

# Two relays, one of which is slow with 5 of 100 recipients.
run_smtp_hedge() {
    local mails=20000
    ! $tiny || mails=1000
    bench smtp_hedge --mails $mails
}

# The most that a process and its children ever held, in MiB.
peak_mib() {
    local pid sum=0 kib
    for pid in "$1" $(cat "/proc/$1/task/$1/children"); do
        kib=$(awk '/^VmHWM/ { print $2 }' "/proc/$pid/status")
        sum=$((sum + kib))
    done
    awk -v kib=$sum 'BEGIN { printf "%.1f", kib / 1024 }'
}

taken_by_worker() {
    curl -fsS "http://127.0.0.1:${admin[worker]}/metrics" |
        awk '/^posthaste_smtp_attempts_total\{.*outcome="sent"/ { n += $2 }
             END { print n + 0 }'
}
has_taken() { [ "$(taken_by_worker)" -ge "$1" ]; }

# big_rate NAME BEGIN_NS MIB - how fast that many came through.
big_rate() {
    awk -v name="$1" -v ns=$(($(date +%s%N) - $2)) -v mib="$3" \
        'BEGIN { printf "big_%s_rate %.1f MiB/s\n", name, mib / (ns / 1e9) }'
}

# Mails with an attachment of MIB MiB, four POSTs at a time; then a worker finds
# them all.
run_big() {
    local mails=40 mib=18 begin
    ! $tiny || { mails=4 mib=2; }
    start_redis everysec
    start_sink
    configure
    start_role api
    make_key
    echo "big_api_rest $(peak_mib "${role[api]}") MiB"
    {
        printf '{"from":"a@sender.test","to":"n1@sink.test","subject":"big",'
        printf '"text":"x","attachments":[{"filename":"a.bin","content":"'
        head -c $((mib << 20)) /dev/urandom | base64 -w 0
        printf '"}]}'
    } >"$work/body"
    begin=$(date +%s%N)
    seq $mails | xargs -P 4 -I{} curl -fsS -o "$work/answer{}" \
        -H "Authorization: Bearer $key" -H 'Content-Type: application/json' \
        --data-binary "@$work/body" "http://127.0.0.1:$port/v1/emails"
    big_rate accept "$begin" $((mails * mib))
    echo "big_api_peak $(peak_mib "${role[api]}") MiB"
    begin=$(date +%s%N)
    start_role worker
    await "the mails" has_taken $mails
    big_rate drain "$begin" $((mails * mib))
    echo "big_worker_peak $(peak_mib "${role[worker]}") MiB"
}

# What the worker's processes have used so far, in microseconds.
worker_us() {
    local pid=${role[worker]} files=()
    for pid in $pid $(cat "/proc/$pid/task/$pid/children"); do
        files+=("/proc/$pid/stat")
    done
    awk -v ticks="$(getconf CLK_TCK)" '{ sub(/^.*\) /, ""); sum += $12 + $13 }
        END { printf "%.0f\n", sum * 1e6 / ticks }' "${files[@]}"
}

# drain NAME MAILS - a worker sends what is queued; its time for all in
# ${drained[NAME]}.
declare -A drained
drain() {
    start_role worker
    await "the mails" has_taken "$2"
    drained[$1]=$(worker_us)
    stop "${role[worker]}"
}

# Signs what comes from sender.test from now on, by both algorithms.
add_domain() {
    local answer
    post domains '{"name":"sender.test"}' >/dev/null
    answer=$(post 'emails?dry_run=true' '{"from":"a@sender.test",
        "to":"n1@sink.test","subject":"x","text":"x"}')
    [[ $answer == *'"signing_domain":"sender.test"'* ]]
}

post() {
    curl -fsS -H "Authorization: Bearer $key" \
        -H 'Content-Type: application/json' -d "$2" \
        "http://127.0.0.1:$port/v1/$1"
}

# Queued mails drained to the sink: unsigned, then with both signatures. The
# limit is what the worker takes without them and the signatures alone.
run_signing() {
    local mails=10000 rounds=2000
    ! $tiny || { mails=300 rounds=50; }
    start_redis everysec
    start_sink
    worker_secrets="worker_key_file = \"$work/worker.key\"
worker_public_key = \"$("$bin" keyring create-worker "$work/worker.key" \
        2>/dev/null)\""
    configure
    start_role api
    make_key
    drain idle 0
    bench signing queue --port "$port" --key "$key" --mails $mails
    drain plain $mails
    bench signing bare --rounds $rounds | tee "$work/bare"
    add_domain
    bench signing queue --port "$port" --key "$key" --mails $mails
    drain signed $mails
    awk -v idle="${drained[idle]}" -v plain="${drained[plain]}" \
        -v signed="${drained[signed]}" -v mails=$mails '
        $1 == "signing_bare_both" { bare = $2 }
        END {
            plain = (plain - idle) / mails
            signed = (signed - idle) / mails
            printf "signing_plain_cpu %.1f us/mail\n", plain
            printf "signing_signed_cpu %.1f us/mail\n", signed
            printf "signing_limit %.0f mail/s\n", 1e6 / (plain + bare)
            printf "signing_ratio %.3f x\n", (plain + bare) / signed
        }' "$work/bare"
}

# The sink by itself: that it takes what a plain client sends.
run_smtpsink() {
    start_sink
    printf 'Subject: Hello\r\n\r\nHello.\r\n' >"$work/mail"
    curl -sS --mail-from a@sender.test --mail-rcpt n1@sink.test \
        --upload-file "$work/mail" "smtp://127.0.0.1:$sink_port"
    exec 8>&-
    wait "$sink_pid"
    cat "$work/smtpsink.log"
    grep -q '^smtpsink_mails 1.000 ' "$work/smtpsink.log"
}

declare -F "run_$name" >/dev/null || {
    echo "run.sh: no benchmark '$name'" >&2
    exit 2
}
"run_$name"
