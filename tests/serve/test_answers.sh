#!/usr/bin/env bash
# tern serve: what each endpoint answers, streamed and not.
. "$(dirname "$0")/serve.sh" answers "$1"
