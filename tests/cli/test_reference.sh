#!/usr/bin/env bash
# Families of models against an implementation that shares nothing with this one: a writer of random models and a model in double,
# both in Python with numpy, beside the source tree or where TERN_REFERENCE says. Where they are not there, the model in
# double of tests/support alone holds the graphs (gguf.numbers). `./dev sweep` runs all cases.
set -u
build=$1
source=$(cd "$(dirname "$0")/../.." && pwd)
tools=${TERN_REFERENCE:-$source/../shared/tools}
[ -f "$tools/reference.py" ] || { echo "skipped: no reference.py in $tools"; exit 77; }
for python in $(type -ap python3) /usr/bin/python3 ""; do
    "$python" -c 'import numpy' 2>/dev/null && break
done
[ -n "$python" ] || { echo "skipped: no Python with numpy (apt install python3-numpy)"; exit 77; }
"$python" "$source/tests/support/families.py" "$build" "$tools" --some
