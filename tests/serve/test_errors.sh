#!/usr/bin/env bash
# tern serve: every refusal has its status, its message and the member's name.
. "$(dirname "$0")/serve.sh" errors "$1"
