#!/usr/bin/env bash
# test_acl.sh [--print] - deploy/redis/users.acl allows what is used, no more.
#
# The commands are read from the sources: command_init("X") in queue/*.c, with
# what stands behind it for those of two words, and call('X') in the scripts.
# --print shows the line as it should be.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
acl=$here/deploy/redis/users.acl

# Words in capitals within the calls that $1 begins; SENTINEL and SUBSCRIBE are
# a Sentinel's.
words() {
    grep -oE "$1" | grep -oE "[\"'][A-Z]+[\"']" | tr -d "\"'" |
        tr '[:upper:]' '[:lower:]' | grep -vxE 'auth|sentinel|subscribe'
}

sources=$(cat "$here"/queue/*.c | tr '\n' ' ' | tr -s ' ')
scripts=$(cat "$here"/queue/scripts/*.lua | tr '\n' ' ' | tr -s ' ')
containers=$(grep -oE 'command_init\([^;]*"(CLIENT|SCRIPT|CLUSTER|CONFIG|ACL)"\); command_add_cstr\([^;]*"[A-Z]+"\)' <<<"$sources" |
    sed -E 's/.*"([A-Z]+)"\);.*"([A-Z]+)"\)$/\1|\2/' |
    tr '[:upper:]' '[:lower:]')
plain=$(words 'command_init\([^;]*;' <<<"$sources" |
    grep -vxE 'client|script|cluster|config|acl')
called=$(words 'call\([^,)]*' <<<"$scripts")
grep -q evalsha <<<"${sources,,}" # command_bytes writes it

commands=$(printf '%s\n' evalsha "$containers" "$plain" "$called" | sort -u)
[ "$(wc -l <<<"$commands")" -gt 40 ] # the sources were read at all
line="user posthaste on nopass resetkeys ~ph:* resetchannels -@all"
for command in $commands; do
    line+=" +$command"
done

if [ "${1-}" = --print ]; then
    printf 'user default off\n%s\n' "$line"
elif ! diff <(printf 'user default off\n%s\n' "$line") "$acl"; then
    echo "test_acl: bash tests/unit/test_acl.sh --print > deploy/redis/users.acl"
    exit 1
fi
