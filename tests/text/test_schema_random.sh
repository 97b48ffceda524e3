#!/bin/bash
# Random schemas: what their grammars allow must be valid by python3-jsonschema. TERN_ROUNDS: how many schemas.
build=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for python in $(type -ap python3) /usr/bin/python3 ""; do
    [ -n "$python" ] && "$python" -W ignore -c 'import jsonschema; jsonschema.Draft202012Validator' 2>/dev/null && break
done
[ -n "$python" ] || { echo "skipped: no Python with jsonschema (apt install python3-jsonschema)"; exit 77; }
"$python" -W ignore "$here/../support/schemas.py" "$build/tests/schema_walk" "${TERN_ROUNDS:-500}" "${TERN_SEED:-1}"
