#!/usr/bin/env bash
# tern serve: calls of tools in streams.
. "$(dirname "$0")/serve.sh" calls "$1"
