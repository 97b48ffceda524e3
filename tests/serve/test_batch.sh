#!/usr/bin/env bash
# tern batch: answers of a file of requests, its refusals, and that a batch which is killed goes on.
. "$(dirname "$0")/serve.sh" batch "$1"
