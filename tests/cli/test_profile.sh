#!/usr/bin/env bash
# --profile on the command line: the table's shape, which files it takes, and that the annotated graph is the graph.
set -u
. "$(dirname "$0")/program.sh"
need_native
ids=(--tokens 1,2,3 -n 4 --temp 0 -t 2 --print-tokens)

# the generated ids are the same, and standard output has nothing else
plain=$("$tern" run "$model" "${ids[@]}" 2>/dev/null)
timed=$("$tern" run "$model" "${ids[@]}" --profile 2>"$dir/table")
[ "$plain" = "$timed" ] || no "the profile changed the output: '$timed', expected '$plain'"

# the table, its numbers aside: heads as they are, groups sorted, since their order is that of their cost
shape() { sed -E 's/[0-9]+\.[0-9]+/N/g; s/ +[0-9]+%/ N%/g; s/ +/ /g; s/^ //; s/ N%/ N%/g'; }
sed -n '/^profile of/,$p' "$dir/table" | shape >"$dir/shape"
sed -n '/^run, .* rows 1\.\.1/,/^share.*each alone/p' "$dir/shape" >"$dir/all"
sums='^N% N (kernels|barriers:.*|start:.*|runs:.*|around the runs:.*|steps:.*)$'
grep -vE "$sums" "$dir/all" >"$dir/decode"
[ "$(grep -cE "$sums" "$dir/all")" = 6 ] || no "the sums: $(grep '^N% N [a-z]' "$dir/all")"
grep -q '^profile of verse, .*: 2 threads read N GB/s from memory: the floor$' "$dir/shape" ||
    no "no head: $(head -1 "$dir/shape")"
{
    head -3 "$dir/decode"
    sed -n '4,$p' "$dir/decode" | sed -E '/each alone/d; s/.* N% (N%|[0-9]+%) //; s/^.*% //; s/ [bp]64\[/ packed[/' | sort
} >"$dir/got"
# in which encoding weights are packed depends on the levels that this machine has
cat >"$dir/expected" <<'END'
run, 2 threads, rows 1..1: 3 runs of N rows, N ms a run: kernels N%, barriers N%, start N%
weights read: N MB a run, N MB in the plan
share ms calls us/call KB/call GB/s GOPS floor imbal kernels of equal code together
argmax34: argmax
attend_blocks3 x6: attend_blocks kc_f16[N,2,64]
embed1: embed f16[1792,256]
matmul33: matmul f16[1792,256]
rope_angle0: rope_angle
tmatmul2 x6: tmatmul packed[512,256]
tmatmul4 x6: tmatmul packed[256,256]
tmatmul5 x6: tmatmul packed[1536,256]
tmatmul6 x6: tmatmul packed[256,768]
END
diff "$dir/expected" "$dir/got" || no "the table of one row"
# the kernels' times are their sum, with barriers and start they are the runs, with what is around those the steps
awk '/^run, .* rows 1\.\.1/ {on = 1; next}
    on && $3 == "kernels" {kernels = $2; next}
    on && $3 == "barriers:" {wait = $2; next}
    on && $3 == "start:" {start = $2; next}
    on && $3 == "runs:" {runs = $2; next}
    on && $3 == "around" {rest = $2; next}
    on && $3 == "steps:" {steps = $2; exit}
    on && $1 ~ /%$/ {sum += $2}
    function off(a, b) {return a - b > 0.011 || b - a > 0.011}
    END {exit !kernels || off(sum, kernels) || off(kernels + wait + start, runs) || off(runs + rest, steps)}' "$dir/table" ||
    no "the table does not add up: $(sed -n '/^run, .* rows 1\.\.1/,/each alone/p' "$dir/table")"
grep -q 'rows 2\.\.8: 1 runs of N rows' "$dir/shape" || no "the prompt's rows are missing"
grep -q '^and [0-9]* more$' "$dir/shape" || no "the single launches do not end"

# files: by their endings; another one is refused before anything is loaded
"$tern" run "$model" --profile="$dir/p.txt" 2>"$dir/err"
[ $? = 2 ] || no "an unknown ending is taken"
grep -qF "tern run: --profile: '$dir/p.txt', expected a name that ends in .json, .trace, .trace.json or .tir" "$dir/err" ||
    no "message: $(cat "$dir/err")"
"$tern" bench "$model" --profile=.json 2>/dev/null
[ $? = 2 ] || no "a name that is an ending alone is taken"
"$tern" run "$model" "${ids[@]}" --profile="$dir/none/p.json" >/dev/null 2>"$dir/err"
[ $? = 1 ] || no "a folder that is not there"
grep -q "^tern: error: $dir/none/p.json" "$dir/err" || no "message: $(tail -1 "$dir/err")"
"$tern" run "$model" "${ids[@]}" --profile="$dir/p.trace.json" >/dev/null 2>&1 || no "a trace"
head -c 18 "$dir/p.trace.json" | grep -q '{"displayTimeUnit"' || no "a .trace.json is not a trace"

# the annotated graphs of the two batch classes that ran: a note over every kernel; without notes they are the plan
"$tern" run "$model" "${ids[@]}" --profile="$dir/p.tir" >/dev/null 2>&1 || no "a .tir"
[ "$(grep -c '^graph @' "$dir/p.tir")" = 2 ] || no "graphs: $(grep '^graph @' "$dir/p.tir")"
[ "$(grep -c '^  kernel @' "$dir/p.tir")" = "$(grep -c '^  ; .*%: .* calls, .* ms, .* us each, .* of the floor$\|^  ; not called$' "$dir/p.tir")" ] ||
    no "not one note a kernel"
awk '/^  kernel @/ && last !~ /^  ; / {bad = 1} {last = $0} END {exit bad}' "$dir/p.tir" || no "a kernel without a note above"
{
    echo 'tir 1'
    sed -n '/^graph .* rows=1\.\.1$/,/^end$/p' "$dir/p.tir"
} >"$dir/one.tir"
"$tern" opt "$dir/one.tir" --passes= -o "$dir/parsed.tir" || no "the annotated graph does not parse"
"$tern" opt "$model" -o "$dir/plan.tir" || no "opt"
cmp "$dir/parsed.tir" "$dir/plan.tir" || no "the annotated graph is not the plan"

# a blob, and kernels that are evaluated: one worker
"$tern" compile "$model" -o "$dir/m.tern" 2>/dev/null || no "compile"
"$tern" run "$dir/m.tern" "${ids[@]}" --target ref --profile 2>&1 >/dev/null | grep -q '^profile of verse, ref' ||
    no "no profile of evaluated kernels"

[ $failures = 0 ] || exit 1
echo "ok"
