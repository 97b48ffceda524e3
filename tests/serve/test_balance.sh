#!/usr/bin/env bash
# Two servers behind HAProxy, with docs/deploy/haproxy.cfg: one is drained, one is killed.
command -v haproxy >/dev/null || { echo "skipped: no haproxy (apt install haproxy)" && exit 77; }
. "$(dirname "$0")/serve.sh" balance "$1"
