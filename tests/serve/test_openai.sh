#!/usr/bin/env bash
# tern serve: npm's client `openai` gets what it expects.
. "$(dirname "$0")/serve.sh" openai_npm "$1"
