#!/usr/bin/env bash
# Families of models against an implementation that shares nothing with this one: a writer of random models and a model in double,
# both in Python with numpy, beside the source tree or where TERN_REFERENCE says. Where they are not there, the model in
# double of tests/support alone holds the graphs (gguf.numbers). `./dev sweep` runs all cases.
set -u
build=$1
source=$(cd "$(dirname "$0")/../.." && pwd)
tools=${TERN_REFERENCE:-$source/../shared/tools}
[ -f "$tools/reference.py" ] || { echo "skipped: no reference.py in $tools"; exit 77; }
. "$source/tests/support/python.sh"
find_python numpy python3-numpy
"$python" "$source/tests/support/families.py" "$build" "$tools" --some
