#!/bin/bash
# Chat templates against @huggingface/jinja of npm, another implementation of the language: the templates by name and those of
# tests/data/chat (and of the folder TERN_TEMPLATES, if set), each with many conversations. Where it does not do what jinja2 does,
# chat_npm.py says so. The package is installed into the build folder; without node or npm the test is skipped.
build=$1 here=$(dirname "$0")
package=@huggingface/jinja@0.5.11
folder=$build/npm
. "$here/../support/python.sh"
find_python jinja2 python3-jinja2
for tool in node npm; do
    command -v $tool >/dev/null || {
        echo "skipped: no $tool (apt install nodejs npm)"
        exit 77
    }
done
if [ ! -e "$folder/node_modules/@huggingface/jinja/dist/index.js" ]; then
    mkdir -p "$folder"
    timeout 60 npm install --prefix "$folder" --no-save --no-package-lock --no-audit --no-fund --ignore-scripts --fetch-retries=0 "$package" >/dev/null 2>&1 || {
        echo "skipped: npm cannot install $package"
        exit 77
    }
fi
exec "$python" -W ignore "$here/chat_npm.py" "$build/tests/text_chat_render" "$here/../data/chat" "$folder"
