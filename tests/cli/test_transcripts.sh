#!/bin/bash
# The transcripts of the README, of docs/inspect.md, docs/embeddings.md, docs/chat.md, docs/grammar.md and docs/serve.md are what the
# commands print, and every verb has its row in the README. With TERN_REFRESH=1 the pages are written anew; read the diff before you commit it.
set -u
build=$1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
bad=0
for verb in $("$build/tern" --help | sed -nE 's/^  ([a-z]+) .*/\1/p'); do
    grep -qE "^\|.*\`tern $verb\b" "$root/README.md" || { echo "README.md: the table of verbs has no tern $verb"; bad=1; }
done
command -v python3 >/dev/null || { echo "skipped: transcripts: there is no python3"; exit $((bad ? 1 : 77)); }
version=$("$build/tern" --version)
case $version in
*"no LLVM"*) echo "skipped: transcripts: this build has no LLVM" && exit $((bad ? 1 : 77)) ;;
*"cpu levels: "*avx2*) ;;
*) echo "skipped: transcripts: this machine or this build has no avx2 level" && exit $((bad ? 1 : 77)) ;;
esac
not() { printf '%s\t%s\n' "$@" >>"$dir/skips"; }
not 'bench .*--profile|p\.tir' "it prints times, or reads what does"
not 'TERN_PLANT|r\.tir' "tests/cli/test_plant.sh has it"
not '--svg=docs' "it would write the source"
blob='avx2,avx512|run verse.tern' # how the README compiles its blob, and what runs it
case $version in *"LLVM 19."*) ;; *) not "emit=asm|$blob" "the code is that of LLVM 19" ;; esac
case $version in *"cpu levels: avx512-vnni"*) ;; *) not "avx512|$blob" "this machine's best level is another" ;; esac
command -v curl >/dev/null || not 'curl ' "there is no curl"
"$build/tern" serve --help | grep -q port || not 'serve|curl ' "this build has no libmicrohttpd"
command -v file >/dev/null || not '^file ' "there is no file(1)"
for page in README.md docs/inspect.md docs/embeddings.md docs/chat.md docs/grammar.md docs/serve.md; do
    python3 "$root/tests/support/replay.py" $page "$build" "$dir/skips" || bad=1
done

# The replay must be able to fail: of three commands the second prints something else, the third fails.
printf '%s\n' '    $ echo a' '    a' '    $ echo b' '    c' '    $ false' >"$dir/page.md"
TERN_REFRESH='' python3 "$root/tests/support/replay.py" "$dir/page.md" "$build" "$dir/skips" >"$dir/said" && { echo "a wrong page was accepted"; bad=1; }
grep -q '3 commands run, 2 differ' "$dir/said" || { cat "$dir/said" && bad=1; }
exit $bad
