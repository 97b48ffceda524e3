#!/usr/bin/env bash
# Manual pages and completion are made of the tables that the help is printed from: each has every verb and every flag, groff
# finds nothing to complain about, and bash completes verbs, flags and files.
set -u
. "$(dirname "$0")/program.sh"
sh "$root/frontends/cli/pages.sh" "$tern" "$dir/pages" || no "pages.sh failed"
man=$dir/pages/man/man1
verbs=$("$tern" help | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p')
is "a page for each verb, and one for the program" "$(cd "$man" && echo *)" \
    "$(for v in $verbs; do echo "tern-$v.1"; done | (cat; echo tern.1) | LC_ALL=C sort | paste -sd' ')"
plain() { sed 's/\\f[BIR]//g; s/\\-/-/g; s/\\&//g; s/\\e/\\/g' "$1"; }
for v in $verbs; do
    plain "$man/tern-$v.1" >"$dir/page"
    plain "$man/tern.1" | grep -q "^$v " || no "tern.1 lacks $v"
    "$tern" help "$v" | sed -n 's/^  \(-.*\)/\1/p' >"$dir/help"
    while read -r name _; do
        name=${name%%[*}
        checks=$((checks + 1))
        grep -qE -- "^$name(,|$| |\[)" "$dir/page" || no "tern-$v.1 lacks $name"
    done <"$dir/help"
    is "flags of tern-$v.1" "$(grep -c '^.TP' "$dir/page")" "$(wc -l <"$dir/help")"
done
if command -v groff >/dev/null; then
    for page in "$man"/*; do is "groff on ${page##*/}" "$(groff -man -Tascii -ww -z "$page" 2>&1)" ""; done
else
    echo "skipped: groff on the pages: not installed"
fi

# completed WORD..: what bash offers for the last of these words after `tern`
. "$dir/pages/bash-completion/completions/tern"
completed() {
    COMP_WORDS=(tern "$@")
    COMP_CWORD=$#
    COMPREPLY=()
    _tern
    printf '%s\n' "${COMPREPLY[@]}" | paste -sd' '
}
touch "$dir/a.tern" "$dir/a.txt"
is "verbs" "$(completed co)" "compile convert"
is "verbs after help" "$(completed help dev)" "devices"
is "flags of run" "$(completed run --thr)" "--threads"
is "short flags of run" "$(completed run -t)" "-t"
is "flags of another verb" "$(completed diff --thr)" ""
is "files" "$(completed run "$dir/a")" "$dir/a.tern $dir/a.txt"
is "the file of a flag" "$(completed run -f "$dir/a.tx")" "$dir/a.txt"
is "a value that is no file" "$(completed run -n "$dir/a")" ""
run 2 help --man frobnicate
is "help --man of no verb" "$err" "tern: no verb is called 'frobnicate' (see tern --help)"
run 2 help --man run more
finish pages
