#!/usr/bin/env bash
# test_floors.sh [ROOT] - holds every #include against the plan of the house.
#
# A file includes its own folder and the floors below; a wing is entered
# through its door; a library stays in its room. Prints one line a breach and
# fails if there is any. Without ROOT it first tests itself on a small house
# with known breaches, then checks this one.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)

# folder: what its files may include besides their own folder. A name that
# ends in / is a whole folder, any other one a door.
plan='
server/base:
server/io:      server/base/
server/http:    server/io/ server/base/
queue:          server/io/ server/base/
smtp/message:   server/base/
smtp:           smtp/message/message.h server/io/ server/base/
server/domain:  smtp/message/message.h server/io/ server/base/
api:            server/http/httpd.h server/domain/domain.h queue/queue.h smtp/smtp.h smtp/message/message.h server/io/ server/base/
server/worker:  queue/queue.h smtp/smtp.h smtp/message/message.h server/io/ server/base/
server/hooks:   server/domain/domain.h queue/queue.h server/io/ server/base/
server/supervisor: queue/queue.h server/io/ server/base/
server/cli:     server/domain/domain.h server/supervisor/supervisor.h api/api.h server/worker/worker.h server/hooks/hooks.h server/http/httpd.h queue/queue.h smtp/smtp.h smtp/message/message.h server/io/ server/base/
server:         server/cli/ api/api.h server/worker/worker.h server/hooks/hooks.h server/http/httpd.h queue/queue.h smtp/smtp.h smtp/message/message.h server/io/ server/base/
'

# library header: the folders that may name it.
rooms='
microhttpd.h:   server/http
hiredis/:       queue
curl/:          server/hooks
jansson.h:      server/base
event2/:        server/io
ares:           server/io
idn2.h:         smtp/message
openssl/:       server/base server/io smtp/message
cmocka.h:
'

# Prints the breaches of the house at $1.
check() {
    (cd "$1" && find . -path ./build -prune -o -name '*.[ch]' -printf '%P\n' |
        grep -E '^(server|api|queue|smtp)/' | LC_ALL=C sort |
        xargs -r grep -HnE '^[[:space:]]*#[[:space:]]*include' |
        awk -v plan="$plan" -v rooms="$rooms" '
        function read_table(text, table,    lines, n, i, at) {
            n = split(text, lines, "\n")
            for (i = 1; i <= n; i++) {
                at = index(lines[i], ":")
                if (at > 0)
                    table[substr(lines[i], 1, at - 1)] = \
                        substr(lines[i], at + 1) " "
            }
        }
        function folder_of(path) {
            sub(/\/[^\/]*$/, "", path)
            return path
        }
        function allowed(folder, path,    words, n, i) {
            if (folder_of(path) == folder)
                return 1
            n = split(may[folder], words, " ")
            for (i = 1; i <= n; i++)
                if (path == words[i] ||
                    (words[i] ~ /\/$/ && folder_of(path) "/" == words[i]))
                    return 1
            return 0
        }
        function complain(what) {
            print where ": " what
        }
        BEGIN {
            read_table(plan, may)
            read_table(rooms, lives)
        }
        {
            split($0, part, ":")
            where = part[1] ":" part[2]
            folder = folder_of(part[1])
            if (!(folder in may)) {
                complain("no such room: " folder "/")
                next
            }
            if (match($0, /"[^"]*"/)) {
                path = substr($0, RSTART + 1, RLENGTH - 2)
                if (path ~ /\.inc$/ && path !~ /\//)
                    next # made by the build
                if (path !~ /\//)
                    complain("say \"" folder "/" path "\"")
                else if (!allowed(folder, path))
                    complain(folder "/ may not include \"" path "\"")
            } else if (match($0, /<[^>]*>/)) {
                path = substr($0, RSTART + 1, RLENGTH - 2)
                for (library in lives)
                    if (index(path, library) == 1 &&
                        index(lives[library], " " folder " ") == 0)
                        complain("<" path "> does not live in " folder "/")
            }
        }')
}

# A house with one breach of each kind among what is allowed.
self_test() {
    local root want got
    root=$(mktemp -d)
    trap 'rm -rf "$root"' RETURN
    file() {
        mkdir -p "$(dirname "$root/$1")"
        printf '%s\n' "${@:2}" >"$root/$1"
    }
    file server/base/buf.c '#include "server/base/buf.h"' '#include <jansson.h>'
    file server/io/loop.c '#include "server/base/buf.h"' \
        '#include <event2/event.h>' '#include "queue/queue.h"'
    file queue/link.c '#include "queue/keys.h"' '#include "queue_scripts.inc"' \
        '#include <hiredis/async.h>' '#include "smtp/smtp.h"' '#include "keys.h"'
    file smtp/conn.c '#include "smtp/message/message.h"' \
        '  #  include "smtp/message/mime.h"' '#include <curl/curl.h>'
    file api/emails.c '#include "queue/queue.h"' '#include "queue/keys.h"' \
        '#include "server/worker/worker.h"' '#include <stdio.h>'
    file server/main.c '#include "api/api.h"' '#include "tests/x.h"'
    file api/extra/x.c '#include "server/base/buf.h"'
    want='api/emails.c:2: api/ may not include "queue/keys.h"
api/emails.c:3: api/ may not include "server/worker/worker.h"
api/extra/x.c:1: no such room: api/extra/
queue/link.c:4: queue/ may not include "smtp/smtp.h"
queue/link.c:5: say "queue/keys.h"
server/io/loop.c:3: server/io/ may not include "queue/queue.h"
server/main.c:2: server/ may not include "tests/x.h"
smtp/conn.c:2: smtp/ may not include "smtp/message/mime.h"
smtp/conn.c:3: <curl/curl.h> does not live in smtp/'
    got=$(check "$root")
    [ "$got" = "$want" ] || {
        echo "test_floors.sh does not see what it should:"
        diff <(echo "$want") <(echo "$got")
        return 1
    }
}

if [ $# -gt 0 ]; then
    breaches=$(check "$1")
else
    self_test
    breaches=$(check "$here")
fi
[ -z "$breaches" ] || {
    echo "$breaches"
    exit 1
}
