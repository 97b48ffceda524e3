#!/usr/bin/env bash
# Replays faults that users of this and other engines met. Each file of tests/cli/faults has one kind; each check prints one
# line, "ok" or "FAILED" with the actual result. A second argument selects the files whose names begin with it:
#   bash tests/cli/faults.sh build          everything
#   bash tests/cli/faults.sh build 03       the infinities
# TERN_FAULTS_VERBOSE=1 also prints the checks that pass.
# TERN_FAULTS_EVALUATE=1 evaluates where nothing else is said, as a build without LLVM does: under a sanitizer that takes a third of
# the time, and the sanitizer does not see the code that LLVM makes.
set -u
. "$(dirname "$0")/program.sh"
faults=$root/tests/cli/faults
[ -z "${TERN_FAULTS_EVALUATE-}" ] || native=no
how="" level=avx2 # what runs a model, and what a plan is for, where nothing can be compiled
[ $native = no ] && how="--target ref" level=ref
edit="python3 -IS $root/tests/support/gguf_edit.py"
command -v python3 >/dev/null || { echo "skipped: no python3 to make odd files with" && exit 77; }

section=""
good() {
    checks=$((checks + 1))
    [ -z "${TERN_FAULTS_VERBOSE-}" ] || echo "ok $section $*"
}
bad() {
    checks=$((checks + 1))
    no "$section $*"
}
# try COMMAND...: its exit status in $got, output in $dir/out and (64 KB) $out, messages in $err. A crash or five
# minutes without an end show as a status above 123.
try() {
    timeout 300 "$@" >"$dir/out" 2>"$dir/err" <"${in:-/dev/null}"
    got=$?
    text_of out "$dir/out"
    if [ -n "${quota-}" ]; then text_of err "$dir/err"; else messages "$dir/err"; fi
}
# refused WHAT STATUS REGEX COMMAND...: ends with that status, prints nothing to standard output, and one line to
# standard error that matches.
refused() {
    local what=$1 want=$2 regex=$3
    shift 3
    try "$@"
    if [ "$got" != "$want" ]; then bad "$what: exit $got, expected $want: ${err:0:300}"
    elif [ -s "$dir/out" ]; then bad "$what: wrote '${out:0:100}' to standard output"
    elif [[ $err == *$'\n'* || -z $err || $ends != 1 ]]; then bad "$what: expected one line, got '${err:0:300}'"
    elif ! matches "$err" "$regex"; then bad "$what: got '${err:0:300}', expected /$regex/"
    else good "$what"; fi
}
# told WHAT STATUS REGEX COMMAND...: as refused, and the line of a text with its caret may follow the first line.
told() {
    local what=$1 want=$2 regex=$3
    shift 3
    try "$@"
    if [ "$got" != "$want" ]; then bad "$what: exit $got, expected $want: ${err:0:300}"
    elif ! matches "${err%%$'\n'*}" "$regex"; then bad "$what: got '${err:0:300}', expected /$regex/"
    else good "$what"; fi
}
# works WHAT REGEX COMMAND...: exit 0 and standard error matches ("" : anything).
works() {
    local what=$1 regex=$2
    shift 2
    try "$@"
    if [ "$got" != 0 ]; then bad "$what: exit $got, expected 0: ${err:0:300}"
    elif [ -n "$regex" ] && ! matches "$err" "$regex"; then bad "$what: got '${err:0:300}', expected /$regex/"
    else good "$what"; fi
}
# same WHAT GOT EXPECTED
same() {
    if [ "$2" = "$3" ]; then good "$1"; else bad "$1: got '${2:0:300}', expected '${3:0:300}'"; fi
}
# has WHAT TEXT REGEX, hasnt WHAT TEXT REGEX
has() {
    if matches "$2" "$3"; then good "$1"; else bad "$1: got '${2:0:300}', expected /$3/"; fi
}
hasnt() {
    matches "$2" "$3"
    if [ $? = 1 ]; then good "$1"; else bad "$1: got '${2:0:300}', expected nothing like /$3/"; fi
}

for file in "$faults/${2-}"*.sh; do
    [ -e "$file" ] || { no "no file begins with '${2-}' in $faults" && break; }
    section=$(basename "$file" .sh)
    rm -rf "${dir:?}"/*
    in=/dev/null
    # shellcheck disable=SC1090
    . "$file"
done
finish faults
