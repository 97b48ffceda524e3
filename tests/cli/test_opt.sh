#!/usr/bin/env bash
# tern opt: which passes run, what is dumped, what inputs are read, and the exact lines of what is refused.
set -u
. "$(dirname "$0")/program.sh"
level=ref # every build has it
passes() { awk '{printf "%s%s", (NR > 1) ? " " : "", $1}' "$dir/err"; }

# -O: which passes run
run 0 opt -O0 --cpu $level --time-passes -o "$dir/O0.tir"
is "-O0" "$(passes)" "fuse layout tile plan"
run 0 opt -O1 --cpu $level --time-passes -o "$dir/O1.tir"
is "-O1" "$(passes)" "fold cse dce fuse layout tile plan"
for o in -O2 -O3; do
    run 0 opt $o --cpu $level --time-passes -o "$dir/$o.tir"
    is "$o" "$(passes)" "fold cse dce prune merge shortlist split fuse gate colmajor layout tile plan"
done
run 0 opt --cpu $level -o "$dir/plain.tir"
cmp -s "$dir/plain.tir" "$dir/-O3.tir" || no "-O3 is not the default"
cmp -s "$dir/plain.tir" "$dir/O0.tir" && no "-O0 made what -O3 makes"
run 2 opt -O0 -O1
is "two -O" "$err" "tern opt: -O0, -O1, -O2 and -O3 exclude each other (see tern opt --help)"
run 2 opt -O0 --passes=fold
is "-O and --passes" "$err" "tern opt: -O0 and --passes exclude each other (see tern opt --help)"

# --verify-each: the input, then every pass
run 0 opt --cpu $level --verify-each -o "$dir/v.tir"
is "verify-each" "$(passes)" "input fold cse dce prune merge shortlist split fuse gate colmajor layout tile plan"
is "a line of it" "$(head -1 "$dir/err" | sed 's/[0-9][0-9]*/N/')" "input     verified, and read back from N bytes of text"
cmp -s "$dir/v.tir" "$dir/plain.tir" || no "--verify-each changed the result"
# every stage of other shapes and variants reads back too
for shape in tiny odd small; do
    "$build/make_gguf" --shape $shape --seed 3 -o "$dir/shape.gguf" >/dev/null || no "make_gguf --shape $shape"
    for variant in "--rows 1 --kv f16" "--rows 2..8 --kv f32" "--rows 9..512 --kv f16 -O0"; do
        # shellcheck disable=SC2086
        run 0 opt "$dir/shape.gguf" --cpu $level $variant --verify-each -o "$dir/x.tir"
        case $(passes) in "input "*" tile plan") ;; *) no "verify-each of $shape $variant: $err" ;; esac
    done
done

# --dump-after: all, some, and those that changed the text
run 0 opt --cpu $level --dump-after=all -o "$dir/x.tir"
is "all" "$(grep '^; after' "$dir/out" | tr '\n' ' ')" "; after fold ; after cse ; after dce ; after prune ; after merge ; after shortlist ; after split ; after fuse ; after gate ; after colmajor ; after layout ; after tile ; after plan "
run 0 opt --cpu $level --dump-after=all,changed -o "$dir/x.tir"
is "all,changed" "$(grep '^; after' "$dir/out" | tr '\n' ' ')" "; after cse ; after merge ; after split ; after fuse ; after gate ; after layout ; after tile ; after plan "
run 0 opt --cpu $level --dump-after=fold,cse,changed -o "$dir/x.tir"
is "two, changed" "$(grep '^; after' "$dir/out" | tr '\n' ' ')" "; after cse "
run 0 opt --cpu $level --dump-after=plan -o "$dir/x.tir"
tail -n +2 "$dir/out" | cmp -s - "$dir/x.tir" || no "the dump after the last pass is not the result"
run 1 opt --dump-after=fold,nonsense
is "unknown pass" "$err" "tern: error: --dump-after: no pass is called 'nonsense'"

# --family: layout and tile use it
head=fold,cse,dce,prune,merge,shortlist,split,fuse,gate,colmajor
run 0 opt --cpu $level --passes=$head,layout --family any -o "$dir/layout.tir"
run 0 opt "$dir/layout.tir" --cpu $level --passes=tile,plan --family zen4
run 1 opt --cpu $level --passes=$head --family any
is "--family unused" "$err" "tern: error: --family: got 'any', but passes layout and tile, which use it, do not run"

# standard input, and the pipeline cut in two
in=$dir/plain.tir
run 0 opt -
cmp -s "$dir/out" "$dir/plain.tir" || no "opt - is not the text that went in"
in=/dev/null
"$tern" opt --passes=fold,cse,dce,merge,split,fuse --cpu $level | "$tern" opt - --cpu $level >"$dir/two.tir"
cmp -s "$dir/two.tir" "$dir/plain.tir" || no "a pipeline cut in two gives another graph"
printf 'tir 1\ngraph @g stage=model\n  %%a: f32[T,4] = add %%b, %%b\nend\n' >"$dir/bad.tir"
in=$dir/bad.tir
run 1 opt -
is "faults of standard input" "$(tail -1 "$dir/err")" "tern: error: -: 1 fault"
case $err in "standard input:3:"*) ;; *) no "faults have no place: $err" ;; esac
in=/dev/null

# --ranges: comments alone
run 0 opt --cpu $level --ranges
cp "$dir/out" "$dir/ranges.tir"
grep -q '= tmatmul .* ; |y| <= 32512$' "$dir/ranges.tir" || no "no range after a tmatmul"
grep -q '= quant .* ; |y| <= 127, |sum| <= 32512$' "$dir/ranges.tir" || no "no range after a quant"
case $native$("$tern" --version) in yes*avx2*) # how the code of a level sums: what an i16 takes, of as much as fits
    run 0 opt --cpu avx2 --ranges
    for line in "97536; a lane <= 195072; an i16 <= 32512: 64 additions of 508, all that fit" \
        "32512; a lane <= 16256; an i16 <= 8128: 4 additions of 2032, of 16 that fit"; do # of b64, of p64
        grep -q "= tmatmul .* ; |y| <= $line\$" "$dir/out" || no "no range of an i16 after a tmatmul: $line"
    done ;;
esac
run 0 opt "$dir/ranges.tir"
cmp -s "$dir/out" "$dir/plain.tir" || no "the ranges changed the graph"

# a blob's graphs
run 0 compile -o "$dir/m.tern" --cpu ref
run 0 opt "$dir/m.tern"
is "the first graph" "$(sed -n 2p "$dir/out")" "graph @step stage=planned level=ref kv=f16 rows=1..1"
run 0 opt "$dir/m.tern" --variant 4
is "--variant 4" "$(sed -n 2p "$dir/out")" "graph @step stage=planned level=ref kv=f32 rows=2..8"
run 0 opt "$dir/m.tern" --kv f32 --rows 3..5
is "--kv and --rows" "$(sed -n 2p "$dir/out")" "graph @step stage=planned level=ref kv=f32 rows=2..8"
run 0 opt "$dir/m.tern" --cpu ref --rows 100
is "--rows 100" "$(sed -n 2p "$dir/out")" "graph @step stage=planned level=ref kv=f16 rows=9..512"
run 0 opt "$dir/m.tern" --kv f16 --rows 1 -o "$dir/blob.tir"
run 0 opt --cpu ref -o "$dir/own.tir"
cmp -s "$dir/blob.tir" "$dir/own.tir" || no "the blob's graph is not what opt makes"
run 1 opt "$dir/m.tern" --rows 7..9
none="tern: error: $dir/m.tern: none of its 9 graphs is for the --cpu, --kv and --rows given: it has level ref, kv f16 and f32 and i8, rows 1 and 2..8 and 9..512"
is "no such rows" "$err" "$none"
run 1 opt "$dir/m.tern" --cpu avx2
is "no such level" "$err" "$none"
run 1 opt "$dir/m.tern" --variant 9
is "no such variant" "$err" "tern: error: --variant: 9, but $dir/m.tern has graphs 0 to 8"

# eval
printf 'tir 1\ngraph @g stage=model\n  %%x: f32[T,3] = input {name="x"}\n  %%y: f32[T,3] = relu2 %%x\nend\n' >"$dir/e.tir"
run 0 eval "$dir/e.tir" --rows 3
is "eval" "$(cat "$dir/out")" '%y[0] = 0 0.0625 0
%y[1] = 0.25 0 0.5625
%y[2] = 0 1 0'
run 0 eval "$root/models/verse-i2_s.gguf" --rows 1
is "eval of a model" "$(grep -c '^%' "$dir/out")" 5
run 1 eval "$dir/plain.tir"
is "no weights" "$err" "tern: error: tensor token_embd.weight: not in the model file"
run 1 eval "$dir/e.tir" --variant 1
is "no such graph" "$err" "tern: error: --variant: 1, but $dir/e.tir has graphs 0 to 0"
run 2 eval
is "no graph" "$err" "tern eval: missing a graph (see tern eval --help)"
run 1 eval "$dir/bad.tir"
is "a faulty graph" "$(tail -1 "$dir/err")" "tern: error: $dir/bad.tir: 1 fault"

# a text of two graphs
{ cat "$dir/blob.tir" && tail -n +2 "$dir/O0.tir"; } >"$dir/two.tir"
run 1 opt "$dir/two.tir"
is "two graphs" "$err" "tern: error: $dir/two.tir: 2 graphs in the file, expected one: --variant N selects one"
run 0 opt "$dir/two.tir" --variant 1
cmp -s "$dir/out" "$dir/O0.tir" || no "the second graph of a text"

finish opt
