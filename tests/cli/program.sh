# What the scripts of this folder share. Source it with the build folder as $1; it defines
#   build tern root model   folders and files: the program, the repository, the embedded model
#   dir                     a folder of the script's own, removed at the end
#   native                  yes or no: whether this build and this machine run compiled code
#   checks failures         counts
# and the functions below. The last line of a script is `finish NAME`.
# shellcheck shell=bash disable=SC2034
build=$1
tern=$build/tern
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
model=$root/models/verse-i2_s.gguf
case ${TMPDIR-} in *[!A-Za-z0-9/._+-]*) export TMPDIR=/tmp ;; esac # some scripts split flags at blanks
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export TERN_KEEP=0 # nothing goes to the user's cache
checks=0
failures=0
native=yes
case $("$tern" --version) in *"cpu levels: none"* | *"no LLVM"*) native=no ;; esac

need_native() {
    [ $native = yes ] && return
    echo "skipped: no compiled code in this build or on this machine"
    exit 77
}
no() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}
# is WHAT GOT EXPECTED
is() {
    checks=$((checks + 1))
    [ "$2" = "$3" ] || no "$1: got '$2', expected '$3'"
}
# text_of NAME FILE [BYTES]: the variable NAME gets the file's first 64 KB (or BYTES), without its bytes of 0 and the newlines at
# its end, which $ends counts. No process is started: the scripts here run the program thousands of times.
text_of() {
    local LC_ALL=C # with letters of several bytes, cutting the end of a long text takes seconds
    IFS= read -r -N "${3-65536}" "$1" <"$2"
    for ((ends = 0; ; ends++)); do
        [ "${!1: -1}" = $'\n' ] || break
        printf -v "$1" %s "${!1%$'\n'}"
    done
}
# unquoted FILE: without the line about a quota of processor time, which not every machine has
unquoted() {
    ! grep -q '^tern: [0-9]* threads\?: the CPU quota is ' "$1" || sed -i '/^tern: [0-9]* threads\?: the CPU quota is /d' "$1"
}
# messages FILE: its first MB in $err, without that line
messages() {
    text_of err "$1" 1048576
    [[ $err == *"the CPU quota is "* ]] || return 0
    unquoted "$1"
    text_of err "$1" 1048576
}
# matches TEXT REGEX: whether a line of it does
matches() {
    if [[ $1 == *$'\n'* ]]; then grep -qE -- "$2" <<<"$1"; else [[ $1 =~ $2 ]]; fi
}
# run STATUS args...: output in $dir/out and the first 64 KB of it in $out, messages in $err; input from $in
in=/dev/null
run() {
    local want=$1
    shift
    "$tern" "$@" >"$dir/out" 2>"$dir/err" <"$in"
    local got=$?
    checks=$((checks + 1))
    text_of out "$dir/out"
    messages "$dir/err"
    [ "$got" = "$want" ] || no "tern $*: exit $got, expected $want: ${err:0:300}"
}
# finish NAME: the counts, and the exit status
finish() {
    echo "$1: $checks checks, $failures failures"
    [ $failures = 0 ]
    exit
}
