#!/usr/bin/env bash
# exim.sh FOLDER - Debian's exim4 in a folder of its own: as a package it
# cannot be beside Postfix. Its libraries come with deploy/packages.sh test.
set -euo pipefail
folder=${1:?"usage: exim.sh FOLDER"}
package=exim4-daemon-light

[ ! -x "$folder/usr/sbin/exim4" ] || exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
fetch() { apt-get -o APT::Sandbox::User=root -q download $package; }
if ! fetch; then
    as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get -q -o DPkg::Lock::Timeout=300 update
    fetch
fi
cd - >/dev/null
mkdir -p "$folder"
dpkg -x "$work"/$package*.deb "$folder"
