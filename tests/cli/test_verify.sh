#!/usr/bin/env bash
# tern verify: code against evaluator on real tokens, graph against graph; exit status as diff(1), exact error lines.
set -u
. "$(dirname "$0")/program.sh"
# try STATUS PATTERN args...: PATTERN is of standard output, or of standard error where that is empty
try() {
    local status=$1 want=$2 got is
    shift 2
    "$tern" verify "$@" >"$dir/out" 2>"$dir/err" </dev/null
    is=$?
    checks=$((checks + 1))
    got=$(cat "$dir/out")
    [ -n "$got" ] || got=$(cat "$dir/err")
    # shellcheck disable=SC2053
    if [ $is != "$status" ] || [[ $got != $want ]]; then
        echo "FAILED: tern verify $*: exit $is, expected $status; got '$got', expected '$want'"
        failures=$((failures + 1))
    fi
}
ids=1789,978,1530,317,44,9,100,3,1,0,44
equal="158 kernels, * launches, * values (* bytes) equal, level *; * results as the model's graph gives them"

# the evaluator alone: the pipeline and the plan against the model's graph
try 0 "158 kernels, * launches, level ref, kv f16, rows 1, 2..8 and 9..512; * results as the model's graph gives them" \
    --tokens $ids --target ref
if [ $native = yes ]; then
    try 0 "$equal" --tokens $ids
    try 0 "$equal" "$model" -p "KING RICHARD: what is this? It is a thing of nought." --kv f32 -t 3
    try 0 "$equal" --tokens $ids --kv i8 -t 5
    if "$tern" compile --help | grep -q xsmm; then # which makes nothing for machines that cannot try it
        try 0 "$equal" --tokens $ids,$ids,$ids --kv f16 --cpu avx2 --target xsmm
    fi
    # a head with a shadow table has six kernels more, and is bisected like any other
    try 0 "${equal/158/164}" --tokens $ids --head q8
    try 0 "${equal/158/164}
no pass: * stages of the pipeline give what the model's graph gives" --tokens $ids --head q6 --kv i8 --bisect
    try 0 "$equal" --tokens $ids --head f32
    try 0 "* rows 1; *" --tokens 7
    try 0 "* rows 1 and 2..8; *" --tokens 7,8
    try 0 "*
no pass: * stages of the pipeline give what the model's graph gives" --tokens $ids --bisect
    case $("$tern" --version) in *avx2*) try 0 "* level avx2, *" --tokens $ids --cpu avx2 ;; esac
    "$tern" compile "$model" -o "$dir/m.tern" 2>"$dir/err" || { cat "$dir/err"; failures=1; }
    try 0 "158 kernels, * launches, * values (* bytes) equal, level *; * results as the first step gives them" \
        "$dir/m.tern" --tokens $ids
    # a compiled file against its model, either way round; against one with an edit; against another shape
    held="158 kernels, * launches, * values (* bytes) equal, level *; * results as the model's graph gives them"
    try 0 "$held" "$dir/m.tern" --against "$model" --tokens $ids
    try 0 "$held" "$model" --against "$dir/m.tern" --tokens $ids --kv f32
    "$tern" opt "$model" --passes= | sed '0,/ relu2 /s// silu /' >"$dir/e.tir"
    try 1 "different: output \"logits\" at position 0 *" "$dir/m.tern" --against "$dir/e.tir" --tokens $ids
    try 2 "tern: error: $dir/m.tern and $dir/m.tern are both compiled: compare each with the model" \
        "$dir/m.tern" --against "$dir/m.tern" --tokens 1
    "$build/make_gguf" --shape tiny -o "$dir/t.gguf" >/dev/null || failures=1
    try 2 "tern: error: output \"*\": its shapes in the two models differ" "$dir/m.tern" --against "$dir/t.gguf" --tokens 1
    # sizes that are multiples of nothing, every kind of weight
    "$build/make_gguf" --shape odd --seed 3 --embd q8_0 --kv-heads 1 -o "$dir/odd.gguf" >/dev/null || failures=1
    try 0 "* values (* bytes) equal, level *" "$dir/odd.gguf" --tokens 1,2,3,4,5,6,7,8,9,10
    "$build/make_gguf" --shape small --weights tq1_0 --embd q6_k --arch llama -o "$dir/tq.gguf" >/dev/null || failures=1
    try 0 "* values (* bytes) equal, level *" "$dir/tq.gguf" --tokens 1,2,3
    try 2 "tern: error: --bisect starts from a model's graph, before all passes; a compiled file has only what came out of them" \
        "$dir/m.tern" --tokens 1 --bisect
    try 2 "tern verify: --weights goes with a .tir, $dir/m.tern is compiled*" "$dir/m.tern" --weights "$model" --tokens 1
    try 2 "tern verify: --head works on a .gguf, $dir/m.tern is compiled*" "$dir/m.tern" --head q8 --tokens 1
fi

# graph against graph
"$tern" opt "$model" --passes= -o "$dir/a.tir" || exit 1
sed '0,/ relu2 /s// silu /' "$dir/a.tir" >"$dir/b.tir"
try 0 "* nodes are matched: * values (* bytes) equal, kv f16" "$dir/a.tir" --against "$model" --tokens $ids
sed 's/%28\b/%gate/g' "$dir/a.tir" >"$dir/c.tir"
try 0 "* values (* bytes) equal, kv f32" "$dir/a.tir" --against "$dir/c.tir" --tokens $ids --kv f32
try 1 "different: %28: f32\[T,768\] = relu2 %24 ($dir/a.tir:51)
      and: %28: f32\[T,768\] = silu %24 ($dir/b.tir:51)
  at row 0, column * (position 0, token 1789)
  a  0.* [(]0x*)
  b  0.* [(]0x*), * ulp apart" "$dir/a.tir" --against "$dir/b.tir" --tokens $ids
try 2 "tern: error: --bisect starts from a model's graph, before all passes; --against names another one" \
    "$dir/a.tir" --against "$dir/b.tir" --tokens 1 --bisect
try 2 "tern: error: --reduce is for code against the evaluator, --against names another graph" \
    "$dir/a.tir" --against "$dir/b.tir" --tokens 1 --reduce "$dir/r.tir"
try 0 "158 kernels, *" --tokens $ids --target ref --reduce "$dir/r.tir"
[ -e "$dir/r.tir" ] && { echo "FAILED: something was reduced where nothing differs"; failures=1; }
try 2 "tern: error: $dir/none.tir: *" "$dir/a.tir" --against "$dir/none.tir" --tokens 1

# without tokens: on random inputs, of any graph that stands alone, at any stage, or of a model
printf '%s\n' 'tir 1' 'graph @t stage=model' '  $e: f32[40,64] = random {seed=1}' '  %x: f32[T,64] = input {name="x"}' \
    '  %i: i32[T] = argmax %x' '  %j: i32[T] = input {name="j"}' '  %y: f32[T,64] = embed %j, $e' \
    '  %o: f32[T,64] = output %y {name="y"}' '  %p: i32[T] = output %i {name="p"}' 'end' >"$dir/s.tir"
# Heads of two sizes in one product, whose units are whole parts, since no other unit holds whole heads of both.
printf '%s\n' 'tir 1' 'graph @t stage=model' '  %x: f32[T,64] = input {name="x"}' '  %q: q8g[T,64] scale=group:64 = quant_groups %x {n=64}' \
    '  $a: t8[80,64] scale=group:64 = random {seed=1}' '  $b: t8[96,64] scale=group:64 = random {seed=2}' '  $m: f32[80] = random {seed=3}' \
    '  $n: f32[96] = random {seed=4}' '  %s: f32[T,80] = tmatmul_groups %q, $a' '  %t: f32[T,96] = tmatmul_groups %q, $b' \
    '  %u: f32[T,80] = headnorm %s, $m {eps=1e-5}' '  %v: f32[T,96] = headnorm %t, $n {eps=1e-5}' '  %o: f32[T,80] = output %u {name="u"}' \
    '  %p: f32[T,96] = output %v {name="v"}' 'end' >"$dir/heads.tir"
# Weights of 2, column by column, times large codes: sums of pairs in 16 bits must end earlier than for weights of 1.
twos=$(printf '2,%.0s' {1..511})2 ones=$(printf '0,1,%.0s' {1..255})0,1
printf '%s\n' 'tir 1' 'graph @t stage=model' '  %x0: f32[T,512] = input {name="x"}' '  %x1: f32[T,512] = times %x0 {scale=0}' \
    "  \$b: f32[512] = const {values=[$ones]}" '  %x: f32[T,512] = bias %x1, $b' "  \$w0: t8[1,512] scale=1 most=2 = const {values=[$twos]}" \
    '  $z: t8[255,512] scale=1 most=2 = random {seed=4}' '  $w: t8[256,512] scale=[1:1,255:1] most=2 = concat $w0, $z' \
    '  $c: t8[512,256] scale=1 most=2 = colmajor $w' '  %q: q8[T,512] = quant %x' '  %a: i32[T,256] = tmatmul %q, $w, $c' \
    '  %d: f32[T,256] = dequant %a, %q, $w' '  %o: f32[T,256] = output %d {name="y"}' 'end' >"$dir/two.tir"
[ $native = yes ] && levels="level * and ref" || levels="level ref"
flags=""
[ $native = yes ] || flags="--target ref"
# shellcheck disable=SC2086
{
    try 0 "* runs of 3 steps on random inputs equal: $levels, kv f16, rows 1, 2..8 and 9..512, seeds 1 and 2" "$dir/s.tir" $flags
    try 0 "* run* of 3 steps on random inputs equal: $levels, kv i8, rows 2..4, seed 7" "$dir/a.tir" --seed 7 --rows 2..4 --kv i8 $flags
    try 0 "* equal: $levels, kv f16, rows 3, seeds 1 and 2" "$model" --rows 3 $flags
    try 0 "* equal: $levels, *" "$dir/heads.tir" $flags
    try 0 "* equal: $levels, *" "$dir/two.tir" $flags
    case "$native $("$tern" --version)" in "yes "*avx2*) try 0 "* equal: level avx2 and ref, *" "$dir/two.tir" --cpu avx2 ;; esac
}
"$tern" opt "$dir/s.tir" --cpu ref -o "$dir/planned.tir" || failures=1
try 0 "3 runs of 3 steps on random inputs equal: level ref, *, seed 18446744073709551615" "$dir/planned.tir" \
    --seed 18446744073709551615 --target ref
sed 's/embed %j/embed %i/' "$dir/s.tir" >"$dir/bad.tir"
try 2 "tern: error: $dir/bad.tir:7:3: %y: operand 1 of embed is %i, expected an input for a run on random inputs
      %y: f32\[T,64\] = embed %i, \$e
      ^" "$dir/bad.tir" --target ref
sed 's/name="j"/name="pos"/; s/%j: i32.T./%j: i32[R]/; s/f32.T,64. = \(embed\|output\)/f32[R,64] = \1/' "$dir/s.tir" >"$dir/bad.tir"
try 2 "tern: error: $dir/bad.tir:6:3: input \"pos\": type is i32\[R\], expected i32\[T\] for a run on random inputs
*" "$dir/bad.tir" --target ref
sed 's/random {seed=1}/gguf {name="token_embd.weight", hash=0x0}/' "$dir/s.tir" >"$dir/bad.tir"
try 2 "tern: error: tensor token_embd.weight: has 917504 bytes, expected 10240 for f32\[40,64\]" "$dir/bad.tir" --target ref
try 2 "tern verify: --seed and --rows are for random inputs, not for tokens (see tern verify --help)" "$dir/s.tir" --seed 1 --tokens 1
try 2 "tern verify: --bisect needs tokens: random inputs only compare code with the evaluator (see tern verify --help)" \
    "$dir/s.tir" --bisect
try 2 "tern verify: --against needs tokens: *" "$dir/s.tir" --seed 1 --against "$dir/s.tir"
try 2 "tern verify: --rows: '8..2', expected N or LO..HI (see tern verify --help)" "$dir/s.tir" --rows 8..2

# what is wrong with the words
expected="tern verify: expected exactly one of --tokens, --token-file, -p, -f and --seed (see tern verify --help)"
try 2 "$expected" "$model"
try 2 "$expected" --tokens 1,2 -p abc
try 2 "tern verify: --target: this build has no target 'gpu', it has * (see tern verify --help)" --tokens 1 --target gpu
try 2 "tern: error: --head: 'q4', expected f32, f16, q8, q6 or q5" --tokens 1 --head q4
try 2 "tern: error: --tokens: 'x', expected token ids" --tokens 1,x
try 2 "tern: error: --tokens: no token ids" --tokens ,
try 2 "tern: error: token 2 is 1792, expected 0 to 1791" --tokens 1,2,1792 --target ref
try 2 "tern: error: 4097 tokens, but the model has 1024 positions" --tokens "$(seq -s, 1 4097 | sed 's/[0-9]*/1/g')" --target ref
try 2 "tern: error: $dir/none.gguf: *" "$dir/none.gguf" --tokens 1
"$build/make_gguf" --shape tiny --no-vocab -o "$dir/bare.gguf" >/dev/null || exit 1
try 2 "tern: error: $dir/bare.gguf: the file has no tokenizer" "$dir/bare.gguf" -p abc
try 0 "*level ref*" "$dir/bare.gguf" --tokens 1,2,3 --target ref
try 0 "usage: tern verify * 0 equal, 1 different, 2 trouble*" --help

finish verify
