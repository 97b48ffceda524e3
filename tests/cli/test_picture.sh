#!/usr/bin/env bash
# Pictures: a graph as dot, svg and json; a repeated layer is drawn once.
set -u
. "$(dirname "$0")/program.sh"
"$tern" inspect --dot="$dir/all.dot" || no "--dot"
"$tern" inspect --dot="$dir/fold.dot" --fold-layers || no "--dot --fold-layers"
grep -q '^digraph' "$dir/all.dot" || no "not a digraph"
all=$(grep -c tmatmul "$dir/all.dot") fold=$(grep -c tmatmul "$dir/fold.dot")
[ "$all" = $((6 * fold)) ] || no "six layers have $all multiplications, one has $fold"
grep -q '6.*layers, each' "$dir/fold.dot" || no "the folded box does not say how often"
"$tern" inspect --json="$dir/all.json" || no "--json"
python3 - "$dir/all.json" <<'P' || no "the json"
import json, sys
text = json.load(open(sys.argv[1]))
assert json.dumps(text).count('"tmatmul"') == 42, json.dumps(text).count('"tmatmul"')
P
"$tern" compile --emit=tir --cpu ref -o "$dir/all.tir" || no "--emit=tir"
[ "$(grep -c '^graph' "$dir/all.tir")" = 9 ] || no "nine variants"
"$tern" opt "$dir/all.tir" --variant 3 --passes= >/dev/null || no "the emitted text is read back"
"$tern" compile --emit=dot --cpu ref -o "$dir/planned.dot" || no "--emit=dot"
grep -q cluster "$dir/planned.dot" || no "kernels are no clusters"
# graphs are those of a blob: of its levels together, and of its family of processors, which decide how weights lie
case $("$tern" --version) in *"no LLVM"*) ;; *)
    "$build/make_gguf" --shape tiny --hidden 320 --heads 5 --kv-heads 5 --layers 1 --seed 1 -o "$dir/m.gguf" >/dev/null || no "make_gguf"
    for way in "b80 zen5 avx512-vnni" "b80 zen4 avx-vnni,avx512-vnni" "b64 zen5 avx2,avx512-vnni" "b64 any avx512-vnni" "p64 zen5 avx512-vnni,amx"; do
        read -r enc family levels <<<"$way"
        flags=(--levels "$levels" --family "$family")
        [ "$family" = any ] && flags=(--levels "$levels")
        "$tern" compile "$dir/m.gguf" --emit=tir "${flags[@]}" -o "$dir/m.tir" || no "--emit=tir ${flags[*]}"
        "$tern" compile "$dir/m.gguf" "${flags[@]}" -o "$dir/m.tern" 2>"$dir/err" || no "compile ${flags[*]}: $(cat "$dir/err")"
        grep -q ": $enc\[320,320\]" "$dir/m.tir" || no "no $enc of ${flags[*]}"
        "$tern" diff "$dir/m.tir" "$dir/m.tern" >"$dir/diff" || no "the emitted text of ${flags[*]} is not the blob's: $(head -5 "$dir/diff")"
        "$tern" diff "$dir/m.gguf" "$dir/m.tern" >"$dir/diff" || [ "$family" != any ] || no "the model with ${flags[*]} is not the blob's: $(head -5 "$dir/diff")"
        # other families have distances of prefetches and panels that differ from those that tern diff plans, but no other weights
        grep -q ' pack ' "$dir/diff" && no "the model with ${flags[*]} has other weights than the blob: $(grep -m 3 ' pack ' "$dir/diff")"
    done
    # what a family changes is in the json and in a comparison
    for family in any sapphire_rapids; do
        for kind in tir json; do
            "$tern" compile "$dir/m.gguf" --emit=$kind --levels avx512-vnni --family $family -o "$dir/$family.$kind" || no "--emit=$kind --family $family"
        done
    done
    grep -q '"panels": *true' "$dir/sapphire_rapids.json" || no "no panels in the json"
    grep -q '"panels"' "$dir/any.json" && no "panels in the json of any family"
    "$tern" diff "$dir/any.tir" "$dir/sapphire_rapids.tir" >"$dir/diff" && no "two families, the same graphs"
    grep -q '^~ kernel @tmatmul.* panels 0 -> 1' "$dir/diff" || no "no panels in the comparison: $(head -5 "$dir/diff")" ;;
esac
# a profile colours a model's kernels: its graph is planned for the level and the rows that took the most time
printf '%s' '{"level": "ref", "kernels": [{"name": "embed1", "ms": 9}, {"name": "rope_angle0", "ms": 1}], "tests": [{"variants":
    [{"rows_lo": 1, "rows_hi": 1, "kernel_seconds": 1}, {"rows_lo": 2, "rows_hi": 8, "kernel_seconds": 2}]}]}' >"$dir/p.json"
"$tern" inspect --dot="$dir/hot.dot" --profile "$dir/p.json" || no "--profile"
grep -q '2&ndash;8 rows' "$dir/hot.dot" || no "not the rows that were profiled: $(head -5 "$dir/hot.dot")"
grep -q '9[.0]* ms' "$dir/hot.dot" || no "no time in the picture"
printf '{"level": "ref", "kernels": [{"name": "none", "ms": 9}]}' >"$dir/p.json"
"$tern" inspect --dot="$dir/hot.dot" --profile "$dir/p.json" 2>"$dir/err" && no "a profile of something else"
grep -q "p.json: no kernel of the graph in \"kernels\": .*; its first is 'rope_angle0'$" "$dir/err" || no "$(cat "$dir/err")"
if command -v dot >/dev/null; then
    "$tern" inspect --svg="$dir/all.svg" --fold-layers || no "--svg"
    grep -q '</svg>' "$dir/all.svg" || no "not an svg"
    dot -Tsvg "$dir/planned.dot" >/dev/null || no "graphviz refuses the planned graph"
else
    "$tern" inspect --svg="$dir/all.svg" 2>"$dir/err" && no "--svg without graphviz"
    [ "$(wc -l <"$dir/err")" = 1 ] || no "graphviz missing is one line: $(cat "$dir/err")"
fi
[ $failures = 0 ] && echo "picture: ok"
exit $failures
