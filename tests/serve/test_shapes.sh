#!/usr/bin/env bash
# tern serve: chats in the shapes of /v1/responses and /v1/messages.
. "$(dirname "$0")/serve.sh" shapes "$1"
