#!/usr/bin/env bash
# tern serve: Prometheus' own check of /metrics finds nothing.
command -v promtool >/dev/null || { echo "skipped: no promtool (apt install prometheus)" && exit 77; }
. "$(dirname "$0")/serve.sh" promtool "$1"
