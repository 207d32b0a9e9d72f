#!/usr/bin/env bash
# packages.sh [build|test]... - the Debian packages that Posthaste needs.
#
# `build` (the default) is what compiling and `posthaste dev` need, `test`
# what tests/run.sh needs besides. What is missing is installed with apt, as
# root or by sudo; nothing is asked, and no service is started by it.
set -euo pipefail

build=(
    gcc libc6-dev cmake ninja-build pkg-config ca-certificates
    libmicrohttpd-dev libjansson-dev libssl-dev libhiredis-dev libevent-dev
    libc-ares-dev libcurl4-openssl-dev libidn2-dev
    redis-server
)
test=(
    libcmocka-dev clang libclang-rt-14-dev llvm-14 clang-format clang-tidy
    cppcheck shellcheck
    redis-tools postfix dovecot-core dovecot-imapd dovecot-lmtpd
    sasl2-bin libsasl2-modules gsasl
    curl openssl procps python3 faketime
    spamassassin rspamd unbound
    python3-dkim python3-nacl opendkim python3-prometheus-client
    libdb5.3 libgnutls-dane0 libidn12 libnsl2 libnss-wrapper # of exim4: tests/tools/exim.sh
)

wanted=()
for group in "${@:-build}"; do
    case $group in
    build) wanted+=("${build[@]}") ;;
    test)
        wanted+=("${build[@]}" "${test[@]}")
        # Debian 12's node is too old for some test packages and serves only
        # to run npm, which then brings the right one (tests/package.json).
        command -v npm >/dev/null || wanted+=(nodejs npm)
        ;;
    *)
        echo "packages.sh: '$group' is neither build nor test" >&2
        exit 2
        ;;
    esac
done

missing=()
for package in "${wanted[@]}"; do
    state=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) ||
        state=
    [[ $state == ii* ]] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        echo "packages.sh: run as root, or install: ${missing[*]}" >&2
        exit 1
    }
    as_root=(sudo)
fi

# Without this, a fresh redis-server or postfix would begin to serve.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
    "${as_root[@]}" chmod 755 $policy
    trap '"${as_root[@]}" rm -f $policy' EXIT
fi

echo "installing: ${missing[*]}"
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y
    -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300)
"${apt[@]}" update
"${apt[@]}" install --no-install-recommends "${missing[@]}"
