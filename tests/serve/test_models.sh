#!/usr/bin/env bash
# tern serve: several models, which come and go, and whose answers stay the same.
. "$(dirname "$0")/serve.sh" models "$1"
