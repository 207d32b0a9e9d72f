#!/usr/bin/env bash
# run.sh [--long] [--untimed] [--seeds 1,2,3] [--mails N] [--seconds N]
#        [--jobs N] [PLAN]...
#
# Fault plans (tests/fault/plans.mjs): each starts a service of its own, sends
# mails while something goes wrong, and accounts for every one of them. Without
# PLAN all are run. The short form sends 300 mails a plan; --long sends 2,000
# with three seeds, waits as long as an outage really lasts, and lets
# `everything` go on for ten minutes. The last lines are the figures. How long a
# POST and a recovery took fails a plan, too; with --untimed, for machines that
# are shared with others, that is told and not judged.
#
# Wants a debug build (or POSTHASTE_BIN, with FAULT_POINTS) and the npm
# packages: bash tests/run.sh npm debug. As root the disk plans run, too.
set -euo pipefail
cd "$(dirname "$0")/../.."

export POSTHASTE_BIN=${POSTHASTE_BIN:-$PWD/build/debug/posthaste}
export POSTHASTE_NPM=${POSTHASTE_NPM:-$PWD/build/npm}
own=("$POSTHASTE_NPM"/node_modules/node-linux-*/bin/node)
node=node
[ ! -x "${own[0]}" ] || node=${own[0]}
exec "$node" tests/fault/run.mjs "$@"
