#!/bin/bash
# What ARCHITECTURE.md and CONTRIBUTING.md name exists:
#   a path between backticks is a file or a folder of the repository
#   a name LAYER.NAME between backticks, of a layer of tests/, is a test
#   each word of the glossary (- **word, word**: ..) occurs in a file that its entry names
#   no two source files share a basename (internal.h aside, which belongs to its folder)
#   every folder with code has a sentence (- `folder/`: ...), and every rule of tests/base/test_includes.sh a row
# If there is an argument 2, a folder, that is checked instead of this project; so the test tests itself.
set -u
self=$(realpath "${BASH_SOURCE[0]}")
root=${2:-${self%/tests/base/*}}
cd "$root" || exit 1
bad=0 checked=0
fault() {
    echo "$*"
    bad=1
}

layers=$(cd tests && find . -mindepth 1 -maxdepth 1 -type d -printf '%f|')
for page in ARCHITECTURE.md CONTRIBUTING.md; do
    [ -f "$page" ] || { fault "there is no $page"; continue; }
    while IFS= read -r span; do
        if [[ $span =~ ^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*/?$ && ($span == */* || $span =~ \.(md|txt)$) ]]; then
            [ -e "$span" ] || fault "$page: there is no $span"
            checked=$((checked + 1))
        elif [[ $span =~ ^(${layers%|})\.([A-Za-z0-9_.-]+)$ ]]; then
            case ${BASH_REMATCH[2]} in
            faults.*) files=("tests/${BASH_REMATCH[1]}/faults/${BASH_REMATCH[2]#faults.}.sh") ;;
            *) files=("tests/${BASH_REMATCH[1]}/test_${BASH_REMATCH[2]}".[cs]*) ;;
            esac
            [ -f "${files[0]}" ] || fault "$page: there is no test $span"
            checked=$((checked + 1))
        fi
    done < <(grep -oE '`[^`]+`' "$page" | tr -d '`' | sort -u)
done
while IFS= read -r entry; do
    terms=${entry#*\*\*} && terms=${terms%%\*\**}
    mapfile -t files < <(grep -oE '`[^`]+/[^`]+`' <<<"$entry" | tr -d '`')
    for word in ${terms//[(),]/ }; do
        grep -qiF -- "${word%s}" "${files[@]}" /dev/null 2>/dev/null || fault "ARCHITECTURE.md: '$word' is not in ${files[*]:-any file}"
        checked=$((checked + 1))
    done
done < <(awk '/^  [^ ]/ { line = line " " $0; next } { print line; line = $0 } END { print line }' ARCHITECTURE.md | grep '^- \*\*')
while IFS= read -r name; do
    fault "$(find runtime ir passes codegen frontends tests bench -name "$name" 2>/dev/null | sort | paste -sd' '): one basename"
done < <(find runtime ir passes codegen frontends tests bench -name '*.[ch]' ! -name internal.h -printf '%f\n' 2>/dev/null | sort | uniq -d)
rooms=$(find runtime ir passes codegen frontends tests bench -name '*.[ch]' -printf '%h\n' 2>/dev/null | sort -u)
for room in $rooms; do
    case $room in tests/*) continue ;; esac
    grep -qF -- "- \`$room/\`: " ARCHITECTURE.md || fault "ARCHITECTURE.md: no sentence begins with - \`$room/\`:"
    checked=$((checked + 1))
done
for rule in $(sed -nE 's,^rule ([a-z/]+) [0-9]+ .*,\1,p' tests/base/test_includes.sh); do
    grep -qE "^\| ([a-z/]+, )*$rule(, [a-z/]+)* \|" ARCHITECTURE.md ||
        fault "ARCHITECTURE.md: the table of includes has no row of $rule"
    checked=$((checked + 1))
done

if [ -z "${2-}" ]; then
    [ $checked -gt 100 ] || fault "only $checked things were checked: the patterns no longer fit"
    # The test must be able to fail: a small tree with one fault of each kind.
    tree=$(mktemp -d)
    trap 'rm -rf "$tree"' EXIT
    mkdir -p "$tree"/{ir,passes,tests/base,tests/ir}
    echo "a graph" >"$tree/ir/graph.c"
    touch "$tree/passes/fuse.c" "$tree/passes/graph.c" "$tree/tests/ir/test_graph.c"
    printf 'rule ir 9 x\nrule passes 9 x\n' >"$tree/tests/base/test_includes.sh"
    # shellcheck disable=SC2016
    printf -- '- `ir/`: graphs in `ir/graph.c`, `ir/grahp.c`\n| ir | nothing |\n- **graph, grahp**: a `ir/graph.c`\n' >"$tree/ARCHITECTURE.md"
    # shellcheck disable=SC2016
    printf '`ir.graph` tells, and `ir.grahp`; `ir/`, `irr/`\n' >"$tree/CONTRIBUTING.md"
    got=$(bash "$self" x "$tree") && fault "a tree with seven faults was accepted"
    # shellcheck disable=SC2016
    want='ARCHITECTURE.md: there is no ir/grahp.c
ARCHITECTURE.md: '\''grahp'\'' is not in ir/graph.c
CONTRIBUTING.md: there is no irr/
CONTRIBUTING.md: there is no test ir.grahp
ir/graph.c passes/graph.c: one basename
ARCHITECTURE.md: no sentence begins with - `passes/`:
ARCHITECTURE.md: the table of includes has no row of passes'
    [ "$(sort <<<"$got")" = "$(sort <<<"$want")" ] || fault "of seven faults were seen:
$got"
    [ $bad = 0 ] && echo "$checked paths, tests and rooms are there"
fi
exit $bad
