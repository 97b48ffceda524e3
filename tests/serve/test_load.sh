#!/usr/bin/env bash
# tern serve: an answer is the same whatever else the server does.
. "$(dirname "$0")/serve.sh" load "$1"
