#!/usr/bin/env bash
# soak.sh BUILD: half an hour of clients that mean harm and others, and memory that stays flat. TERN_SOAK=SECONDS for another length.
. "$(dirname "$0")/serve.sh" soak "$1"
