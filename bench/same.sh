#!/bin/bash
# Compares two builds of Tern, to see that a change moved no bit of any result.
#
#   bench/same.sh OLD NEW [MODEL.gguf]...      OLD and NEW are build folders
#
# The models are the embedded one, small random ones written by NEW's make_gguf (each architecture, weight type, head and
# layout), and those given. Both builds compile each model for all levels. The script compares
#
#   WGHT and the image of each level's CODE or PTXT section, byte by byte
#   the table of variants: launches, barriers, arena, scratch and cache sizes, bytes of each kernel (not their names)
#   on every level, with each cache type: the logits of some tokens, bit by bit, and greedy ids. A level that this
#   machine lacks is evaluated, with the plan and packing of that level, and gives no ids.
#
# It prints a line for each model, "same" or the first difference, and exits with 1 if anything differs. Variables:
#
#   TERN_LEVELS  the levels to compile for: all that both builds have code for
#   TERN_ONLY    a regular expression on the models' names
set -u -o pipefail
die() {
    echo "same.sh: $*" >&2
    exit 2
}
[ $# -ge 2 ] || die "usage: $0 OLD NEW [MODEL.gguf]... (see its head)"
old=$1 new=$2
shift 2
for b in "$old" "$new"; do [ -x "$b/tern" ] || die "there is no program in $b"; done
[ -x "$new/make_gguf" ] || die "there is no make_gguf in $new"
command -v python3 >/dev/null || die "python3 is not installed"
# levels_of BUILD: the levels that it has code for, one a line
levels_of() {
    "$1/tern" compile --help | sed -n 's/^ *--[^ ]* .*LEVELS  *\([a-z0-9_, -]*\), ref: .*/\1/p' | tr -d ' ' | tr ',' '\n'
}
levels=${TERN_LEVELS:-$(grep -xFf <(levels_of "$old") <(levels_of "$new") | paste -sd,)}
[ -n "$levels" ] || die "no levels: set TERN_LEVELS"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$new/tern" compile --kv f16 -o "$dir/here.tern" 2>/dev/null
here=" $("$new/tern" inspect "$dir/here.tern" | awk '/^variants/ { on = 1 } on && $2 == "f16" { print $1 }' | sort -u | tr '\n' ' ')"
cat >"$dir/sections.py" <<'P'
"""sections.py BLOB: prints a line for WGHT and for the image of each CODE and PTXT section: kind, level, bytes, hash."""
import hashlib
import struct
import sys

blob = open(sys.argv[1], "rb").read()
n = struct.unpack_from("<I", blob, 32)[0]
for i in range(n):
    kind, _, level, _, offset, size = struct.unpack_from("<IIIIQQ", blob, 64 + 64 * i)
    data = blob[offset:offset + size]
    if kind in (4, 5):
        _, _, at, length = struct.unpack_from("<IIQQ", data)
        print("code of level", level, length, hashlib.sha256(data[at:at + length]).hexdigest())
    elif kind == 2:
        print("weights", size, hashlib.sha256(data).hexdigest())
P

models=0 differ=0
# failed MODEL WHAT: reports a difference
failed() {
    echo "$1: $2"
    differ=$((differ + 1))
}
# equal MODEL WHAT SUFFIX: compares the two builds' files; empty files count as a difference too
equal() {
    [ -s "$dir/old.$3" ] && cmp -s "$dir/old.$3" "$dir/new.$3" && return 0
    failed "$1" "$2 differ: $(diff <(head -c 2000 "$dir/old.$3" | tr -d '\0') <(head -c 2000 "$dir/new.$3" | tr -d '\0') | sed -n 2p | head -c 200)"
    return 1
}
# both VERB ARGS...: runs both builds; {} stands for the path of the old or the new one's files
both() {
    local b
    for b in old new; do
        timeout 1200 "${!b}/tern" "${@//\{\}/$dir/$b}" >"$dir/$b.out" 2>"$dir/$b.err" || return 1
    done
}
# compare NAME MODEL-FILE TOKENS FLAGS...
compare() {
    local name=$1 file=$2 tokens=$3 level kv how model=()
    shift 3
    [[ $name =~ ${TERN_ONLY:-} ]] || return 0
    models=$((models + 1))
    [ -z "$file" ] || model=("$file")
    both compile "${model[@]}" "$@" --cpu "$levels" -o "{}.tern" || { failed "$name" "not compiled: $(cat "$dir"/*.err | tail -1)" && return; }
    for b in old new; do python3 "$dir/sections.py" "$dir/$b.tern" >"$dir/$b.sections" || die "$dir/$b.tern cannot be read"; done
    equal "$name" "sections" sections || return
    for b in old new; do "${!b}/tern" inspect "$dir/$b.tern" | sed -nE '/^variants/,$ { /^  level +kv/d; s/^( +[0-9]+  ).*_[0-9]+$/\1/; p }' >"$dir/$b.variants"; done
    equal "$name" "variants" variants || return
    for level in ${levels//,/ }; do
        case $here in *" $level "*) how="" ids=$tokens ;; *) how="--target ref" ids=$(cut -d, -f1-9 <<<"$tokens") ;; esac
        for kv in f16 f32 i8; do
            # shellcheck disable=SC2086
            both logits "{}.tern" --tokens "$ids" --kv $kv --cpu "$level" $how -o "{}.logits" || { failed "$name" "$level, $kv: no logits: $(cat "$dir"/*.err | tail -1)" && return; }
            equal "$name" "$level, $kv: logits" logits || return
            [ -z "$how" ] || continue
            both run "{}.tern" --tokens "$ids" --print-tokens -n 32 --temp 0 --ignore-eos --kv $kv --cpu "$level" || { failed "$name" "$level, $kv: no ids: $(cat "$dir"/*.err | tail -1)" && return; }
            equal "$name" "$level, $kv: ids" out || return
        done
    done
    echo "$name: same"
}
# random NAME FLAGS OF make_gguf... [-- FLAGS OF tern]
random() {
    local name=$1 flags=()
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do flags+=("$1") && shift; done
    shift
    [[ $name =~ ${TERN_ONLY:-} ]] || return 0
    "$new/make_gguf" "${flags[@]}" -o "$dir/m.gguf" >/dev/null || die "make_gguf ${flags[*]} failed"
    compare "$name" "$dir/m.gguf" "$(seq -s, 3 42)" "$@"
}

compare embedded "" "$(seq -s, 300 339)"
compare "embedded --head q6" "" "$(seq -s, 300 339)" --head q6
for arch in $("$new/make_gguf" --archs); do random "$arch" --arch "$arch"; done
for type in tq1_0 tq2_0 f32 f16 bf16 q8_0 q6_k; do random "weights $type" --shape small --layers 2 --weights $type; done
for type in f32 f16 bf16; do random "weights $type, ternary" --weights $type --ternary -- --ternary-dense; done
for type in f32 bf16 q8_0 q6_k; do random "embedding $type" --shape small --layers 2 --embd $type --untied; done
random "odd" --shape odd
random "llama, odd" --shape odd --arch llama --untied --rope-freqs
random "bitnet, scales" --shape odd --arch bitnet --untied --scales
random "dead neurons" --shape small --layers 2 --dead 0.3
random "sparse activations" --shape small --layers 2 --outliers 50
for file in "$@"; do compare "$file" "$file" "$(seq -s, 3 42)"; done
echo "$models models, $differ differ; levels run as code:$here(of $levels)"
[ "$differ" = 0 ] && [ "$models" != 0 ]
