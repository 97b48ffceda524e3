#!/bin/bash
# The files and functions that the docs name exist. In every page:
#   `dir/file.ext`   is a file of the repository
#   `tn_name`, `tern_name`, ...   is a word of the sources
# and in a list line that begins with a path, `- \`path\` \`name\` ...: text`, each name is a word of that file.
set -u
cd "$(dirname "$0")/../.." || exit 1
code_dirs=(ir passes codegen runtime frontends)
faults=0
fault() {
    echo "$*"
    faults=$((faults + 1))
}

words=$(mktemp)
trap 'rm -f "$words"' EXIT
grep -rhoE '\b[A-Za-z_][A-Za-z0-9_]*' --include='*.[ch]' --include='*.def' "${code_dirs[@]}" | sort -u >"$words"

checked=0
for page in docs/*.md README.md ARCHITECTURE.md CONTRIBUTING.md; do
    [ -f "$page" ] || continue
    # the texts between single backticks, outside fenced blocks
    spans=$(awk '/^```/ { fenced = !fenced; next } !fenced' "$page" | grep -oE '`[^`]+`' | tr -d '`' | sort -u)
    while IFS= read -r span; do
        if [[ $span =~ ^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+$ && $span =~ \.(c|h|def|sh|md|gguf|json|txt|tir)$ ]]; then
            [ -f "$span" ] || fault "$page: there is no file $span"
            checked=$((checked + 1))
        elif [[ $span =~ ^(tn|tern|ternc|pass|verb)_[a-z0-9_]+$ ]]; then
            grep -qxF "$span" "$words" || fault "$page: no source has the word $span"
            checked=$((checked + 1))
        fi
    done <<<"$spans"
    # a path, then names, up to the colon; a second path begins a new file
    while IFS= read -r line; do
        file=
        for span in $(grep -oE '`[^`]+`' <<<"${line%%: *}" | tr -d '`'); do
            if [[ $span == */* ]]; then
                file=$span
            elif [ -n "$file" ] && [ -f "$file" ]; then
                grep -qwF -- "$span" "$file" || fault "$page: $file has no $span"
                checked=$((checked + 1))
            fi
        done
    done < <(awk '/^  [^ ]/ { line = line " " $0; next } { print line; line = $0 } END { print line }' "$page" |
        grep -E '^- `[A-Za-z0-9_.-]+/')
done
if [ "$checked" -lt 20 ]; then fault "only $checked paths and names were found: the patterns no longer fit"; fi
[ "$faults" -eq 0 ] || exit 1
echo "$checked paths and names of the docs are there"
