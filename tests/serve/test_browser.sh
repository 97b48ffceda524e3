#!/usr/bin/env bash
# tern serve: the page in a browser (Debian's Chromium, driven by npm's playwright-core).
. "$(dirname "$0")/serve.sh" browser "$1"
