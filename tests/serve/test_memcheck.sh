#!/usr/bin/env bash
# tern serve under valgrind: no error, and nothing lost.
command -v valgrind >/dev/null || { echo "skipped: no valgrind (apt install valgrind)"; exit 77; }
. "$(dirname "$0")/serve.sh" memcheck "$1"
