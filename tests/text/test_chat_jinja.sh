#!/bin/bash
# Chat templates against python3-jinja2, set up as Hugging Face does: templates in the style of the families with
# conversations: equal bytes, or refused by both. With a number as argument 2, also that many random templates, of which
# some still differ.
build=$1
python3 -c 'import jinja2' 2>/dev/null || { echo "skipped: python3-jinja2 is not installed"; exit 77; }
exec python3 -W ignore "$(dirname "$0")/chat_jinja.py" "$build/tests/text_chat_render" "${2:-0}"
