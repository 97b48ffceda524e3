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
strict="-Wall -Wextra -pedantic -Werror $flags -I$root/runtime -I$root/frontends/api"
libs="-L$build -lternc -lterngenerate -lterntext -ltern -Wl,-rpath,$build -Wl,-rpath-link,$build"
for name in compile run generate chat; do
    # shellcheck disable=SC2086
    "$cc" -std=c11 $strict "$here/example_$name.c" -o "$dir/$name" $libs
done
for cxx in g++ clang++; do
    command -v $cxx >/dev/null || { echo "skipped: example_generate in C++: no $cxx"; continue; }
    # shellcheck disable=SC2086
    $cxx -x c++ -std=c++11 $strict -fsyntax-only "$here/example_generate.c"
    # shellcheck disable=SC2086
    $cxx -x c++ -std=c++11 $strict -fsyntax-only "$here/example_chat.c"
done
want='bitnet-b1.58: 6 layers, vocabulary 1792
compiled'
got=$("$dir/compile" "$dir/verse.tern")
[ "$got" = "$want" ] || { echo "example_compile printed: $got"; exit 1; }
want=87,522,44,299,388,340,297,461,44,673,299,388,340,297,10,684
got=$("$dir/run" "$dir/verse.tern")
[ "$got" = "$want" ] || { echo "example_run printed: $got, expected $want"; exit 1; }
want=$("$build/tern" run "$dir/verse.tern" -p "Once upon a time" -n 24 --temp 0 2>/dev/null)
got=$("$dir/generate" "$dir/verse.tern")
[ -n "$want" ] && [ "$got" = "$want" ] || { echo "example_generate printed: $got, expected $want"; exit 1; }
got=$(printf 'Who comes?\nAnd then?\n' | "$dir/chat" "$dir/verse.tern" chatml)
[ "$(wc -l <<<"$got")" -ge 2 ] || { echo "example_chat printed: $got, expected an answer to each line"; exit 1; }
echo "examples: ok"
