#!/usr/bin/env bash
# tern serve: models that are compiled while it runs, in a process that may be killed, and requests that wait for them.
. "$(dirname "$0")/serve.sh" compiles "$1"
