#!/bin/sh
# pages.sh PROGRAM FOLDER: writes what the program makes of its own tables: tern.1 and tern-VERB.1 for each verb, and the
# completion for bash, as they are installed. The build runs it.
set -eu
tern=$1
out=$2
man=$out/man/man1
bash=$out/bash-completion/completions
rm -rf "$out"
mkdir -p "$man" "$bash"
"$tern" help --man >"$man/tern.1"
for verb in $("$tern" help | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p'); do
    "$tern" help --man "$verb" >"$man/tern-$verb.1"
done
"$tern" help --bash >"$bash/tern"
