#!/usr/bin/env bash
# tern serve: the page at /, its policy, its parts, and what its markdown becomes; without a browser.
. "$(dirname "$0")/serve.sh" page "$1"
