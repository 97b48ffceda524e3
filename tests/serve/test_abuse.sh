#!/usr/bin/env bash
# tern serve: clients that mean harm: damaged requests, slow senders, resets, too many connections.
. "$(dirname "$0")/serve.sh" abuse "$1"
