#!/usr/bin/env bash
# The examples of the public headers compile with a plain compiler against the built libraries, and run.
set -eu
build=$1
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
if "$build/tern" --version | grep -q 'cpu levels: none\|no LLVM'; then
    echo "skipped: this machine or this build has none of the feature levels"
    exit 77
fi
flags=""
grep -q 'CMAKE_C_FLAGS:.*fsanitize\|TERN_SANITIZE:STRING=.' "$build/CMakeCache.txt" &&
    flags="-fsanitize=$(sed -n 's/^TERN_SANITIZE:STRING=//p' "$build/CMakeCache.txt")"
cc=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
for name in compile run; do
    # shellcheck disable=SC2086
    "$cc" -std=c11 -Wall -Wextra -pedantic -Werror $flags -I"$root/runtime" -I"$root/frontends" "$here/example_$name.c" -o "$dir/$name" \
        -L"$build" -lternc -ltern -Wl,-rpath,"$build" -Wl,-rpath-link,"$build"
done
want='bitnet-b1.58: 6 layers, vocabulary 1792
compiled'
got=$("$dir/compile" "$dir/verse.tern")
[ "$got" = "$want" ] || { echo "example_compile printed: $got"; exit 1; }
want=87,522,44,299,388,340,297,461,44,673,299,388,340,297,10,684
got=$("$dir/run" "$dir/verse.tern")
[ "$got" = "$want" ] || { echo "example_run printed: $got, wanted $want"; exit 1; }
echo "examples: ok"
