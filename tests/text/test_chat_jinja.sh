#!/bin/bash
# Chat templates against python3-jinja2, set up as Hugging Face does: the templates by name and those of tests/data/chat (and of
# the folder TERN_TEMPLATES, if set), each with many conversations; all letters; and random templates: equal bytes, or refused by
# both. What is refused here as not supported is not compared. TERN_ROUNDS: how many random templates; TERN_SEED: which.
build=$1 here=$(dirname "$0")
. "$here/../support/python.sh"
find_python jinja2 python3-jinja2
exec "$python" -W ignore "$here/chat_jinja.py" "$build/tests/text_chat_render" "$here/../data/chat" "${TERN_ROUNDS:-300}" "${TERN_SEED:-7}"
