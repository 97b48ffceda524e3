#!/usr/bin/env bash
# tern serve: clients that hang up, read slowly or come in crowds; keys, sockets, and how a server ends.
. "$(dirname "$0")/serve.sh" clients "$1"
