#!/usr/bin/env bash
# test_units.sh BINARY - systemd finds no fault in the unit, for each role, and
# nothing that a role could do without. Skipped where there is no systemd.
set -euo pipefail
binary=$1
unit=$(cd "$(dirname "$0")/../.." && pwd)/deploy/systemd/posthaste@.service
exposure_max=1.2
# It would hold the keyring, passwords and mails.
grep -qx LimitCORE=0 "$unit" || {
    echo "a process that crashes may leave a core"
    exit 1
}
command -v systemd-analyze >/dev/null || exit 77

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for role in api worker hooks; do
    sed "s#/usr/bin/posthaste#$binary#" "$unit" >"$work/posthaste@$role.service"
    systemd-analyze verify "$work/posthaste@$role.service"
done
said=$(systemd-analyze security --no-pager --offline=true \
    "$work/posthaste@api.service" | tail -n 1)
exposure=$(grep -oE '[0-9]+\.[0-9]+' <<<"$said")
awk -v is="$exposure" -v max="$exposure_max" 'BEGIN { exit is > max }' || {
    echo "$said, at most $exposure_max is allowed"
    exit 1
}
