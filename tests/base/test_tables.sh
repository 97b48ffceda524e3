#!/usr/bin/env bash
# Each list stands in one table: names of levels, targets, sections, cache types, tokenizers, pre-tokenizers and architectures, and
# the batch classes, are literals there and nowhere else in the product. If there is an argument 2, a folder, that is searched
# instead of this project; so the test tests itself.
set -u
root=${2:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
bad=0

# first FILE, quoted FILE: the names in the rows of an X-macro table, bare or quoted, as an alternation for grep
rows() { grep -oE ' X\(.*' "$root/$1"; }
first() { rows "$1" | sed -E 's/ X\(([A-Z0-9_]+),.*/\1/' | paste -sd'|'; }
quoted() { rows "$1" | sed -E 's/[^"]*"([^"]*)".*/\1/' | paste -sd'|'; }
# only WHAT REGEX ALLOWED: where string literals may occur; comments do not count
only() {
    local found
    found=$(cd "$root" && grep -rnE --include='*.c' --include='*.h' "$2" runtime ir passes codegen frontends 2>/dev/null |
        grep -vE "^($3)" | grep -vE '^[^:]*:[0-9]+: *(/?\*|//)|__attribute__|__builtin_cpu_supports|target_clones' |
        sed -E 's,/\*.*,,' | grep -E "$2")
    [ -z "$found" ] && return
    echo "$found"
    echo "  literals of $1 may stand only in: $3"
    bad=1
}
levels=$(quoted runtime/abi/levels.def)
sections=$(first runtime/abi/sections.def)
kvs=$(quoted runtime/abi/kvs.def)
# first words of the rows of a C table; "default" is a word of many tables
pres=$(sed -nE '/^static const Pre table/,/^\};/{s/^    \{"([^"]*)", "([^"]*)".*/\1 \2/p;s/^    \{"([^"]*)",$/\1/p;s/^     "([^"]*)",?$/\1/p}' "$root/runtime/text/pretok.c" |
    tr ' ' '\n' | grep -vE '^(default)?$' | paste -sd'|')
archs=$(cd "$root" && grep -hoE '\.name = "[^"]*"' frontends/gguf/arch/*.c | sed -E 's/.*"(.*)"/\1/' | paste -sd'|')
for names in "$levels" "$sections" "$kvs" "$pres" "$archs"; do
    [ -n "$names" ] || { echo "a table has no names: '$levels' '$sections' '$kvs' '$pres' '$archs'"; exit 1; }
done
only "levels (runtime/abi/levels.def)" "\"($levels)\"" 'runtime/abi/levels'
only "pre-tokenizers (runtime/text/pretok.c)" "\"($pres)\"" 'runtime/text/pretok(_authors)?\.c|runtime/text/chat/named\.c|runtime/text/char_bpe\.c:.*(model|also) = |frontends/gguf/arch|frontends/hf/hfconfig\.c:.*rope_is'
for name in ${pres//|/ }; do
    [ -n "${2-}" ] || grep -qF "\`$name\`" "$root/docs/tokenizers.md" || { echo "docs/tokenizers.md does not name the pre-tokenizer $name"; bad=1; }
done
only "tokenizers (runtime/text/tokenizer.c)" '"gpt2"' 'runtime/text/byte_bpe.c'
# the parser of a section may name it; a list of sections must not occur twice
only "sections (runtime/abi/sections.def)" "\"($sections)\".*\"($sections)\"" 'runtime/abi/sections'
only "cache types (runtime/abi/kvs.def)" "\"($kvs)\".*\"($kvs)\".*\"($kvs)\"" 'runtime/abi/kvs'
targets=$(grep -oE '^TARGET\([a-z0-9_]+' "$root/codegen/targets.def" | sed 's/TARGET(//' | paste -sd'|')
[ -n "$targets" ] || { echo "codegen/targets.def has no names"; exit 1; }
# the runtime knows one level without code and calls it by name
only "targets (codegen/targets.def)" "\"($targets)\"" "codegen/($targets)/|runtime/abi/levels|runtime/model.c"
only "batch classes (passes/batch_classes.h)" '1, 2\.\.8|\{2, 8\}|\{9, (512|TN_)' 'passes/batch_classes.h'
# a tokenizer or pre-tokenizer may have the name of an architecture, and so may a kind of scaling or packing in config.json; forks have architectures whose names begin with bitnet
only "architectures (frontends/gguf/arch/)" "\"(${archs//./\\.})\"" 'frontends/gguf/arch/|runtime/text/|frontends/tools/producer\.c:.*strncmp|frontends/hf/hfconfig\.c:.*method'
# each file has a row in the table of architectures
for file in "$root"/frontends/gguf/arch/*.c; do
    ids=$(grep -oE '^const TnArch tn_arch_[a-z0-9_]+' "$file" | sed 's/.*tn_arch_//')
    [ -n "$ids" ] || { echo "${file#"$root"/}: defines no architecture"; bad=1; }
    while read -r id; do
        grep -qE "X\($id\)" "$root/frontends/gguf/arch/archs.def" && continue
        echo "${file#"$root"/}: tn_arch_$id has no row in frontends/gguf/arch/archs.def"
        bad=1
    done <<<"$ids"
done

if [ -z "${2-}" ]; then
    # The test must be able to fail: a small tree with one fault of each kind.
    tree=$(mktemp -d)
    mkdir -p "$tree"/{runtime/abi,runtime/text,ir,passes,codegen,frontends/gguf/arch}
    cp "$root"/runtime/abi/*.def "$tree/runtime/abi/"
    cp "$root"/codegen/*.def "$tree/codegen/"
    cp "$root/runtime/text/pretok.c" "$tree/runtime/text/"
    echo 'const char *f = "llama3";' >"$tree/frontends/f.c"
    echo 'const char *g = "gpt2";' >"$tree/frontends/g.c"
    echo 'const char *a = "amx";' >"$tree/ir/a.c"
    echo 'const char *b[] = {"META", "WGHT"};' >"$tree/passes/b.c"
    echo 'const char *c[] = {"f16", "f32", "i8"};' >"$tree/codegen/c.c"
    echo 'int d[][2] = {{1, 1}, {2, 8}, {9, 512}};' >"$tree/frontends/d.c"
    printf '%s\n' 'const TnArch tn_arch_late = {.name = "late-1.5"};' >"$tree/frontends/gguf/arch/late.c"
    echo 'X(early)' >"$tree/frontends/gguf/arch/archs.def"
    echo 'bool g = strcmp(arch, "late-1.5") == 0;' >"$tree/frontends/h.c"
    echo 'bool i = !strcmp(target, "xsmm");' >"$tree/frontends/i.c"
    echo '/* "amx" in a comment */' >"$tree/runtime/e.c"
    out=$(bash "${BASH_SOURCE[0]}" x "$tree") && { echo "a tree with faults was accepted"; bad=1; }
    for expected in ir/a.c:1 passes/b.c:1 codegen/c.c:1 frontends/d.c:1 frontends/f.c:1 frontends/g.c:1 frontends/h.c:1 frontends/i.c:1 frontends/gguf/arch/late.c:; do
        grep -q "^$expected" <<<"$out" || { echo "the fault in $expected was not seen"; bad=1; }
    done
    grep -q runtime/e.c <<<"$out" && { echo "runtime/e.c was refused"; bad=1; }
    rm -rf "$tree"
    [ $bad = 0 ] && echo "each list stands once"
fi
exit $bad
