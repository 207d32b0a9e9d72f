#!/usr/bin/env bash
# demo.sh [--once] - from a clone to a delivered verification mail.
#
# Installs what is missing (apt, as root or by sudo), builds, and starts
# `posthaste dev`, which sends a mail to itself and verifies the webhook about
# it. Nothing leaves this machine. --once ends after that; otherwise it runs
# until Ctrl-C. Other options are handed to `posthaste dev`.
set -euo pipefail
cd "$(dirname "$0")/.."
log=$PWD/build/demo.log
mkdir -p build

# step TEXT COMMAND... - says the step and its time; its output only if it
# fails.
step() {
    local text=$1 begin=${EPOCHREALTIME/[^0-9]/} end
    shift
    printf '  %-10s' "$text"
    if ! "$@" >"$log" 2>&1 </dev/null; then
        echo "failed"
        tail -n 30 "$log" >&2
        echo "demo.sh: $text failed; the whole log: $log" >&2
        exit 1
    fi
    end=${EPOCHREALTIME/[^0-9]/}
    printf 'done  %6d ms\n' $(((end - begin) / 1000))
}

step packages bash deploy/packages.sh build
step configure cmake --preset release
step build cmake --build --preset release --target posthaste
exec build/release/posthaste dev --send-demo "$@"
