#!/usr/bin/env bash
# A stranger's walk through the IR: print a layer as fuse leaves it, change one op in the text, run both, and let `tern
# diff` and `tern verify` name it. The whole transcript is compared; where this build has no code for the machine, the
# evaluator runs instead and says the same.
set -u
build=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
target="" level=""
case $("$build/tern" --version) in *"cpu levels: none"* | *"no LLVM"*) target=" --target ref" level=" --cpu ref" ;; esac
tern() { "$build/tern" "$@" 2>"$dir/err"; }
say() { # as a person would type it
    printf '$ %s\n' "$*"
    local words=${*/% -n 12/ -n 12$target}
    eval "${words/ -o planned.tir/ -o planned.tir$level}"
}
{
    say "tern opt --dump-after=fuse -o planned.tir >a.tir"
    say "sed -n '/ relu2 /{=;p;}' a.tir | head -2"
    say "sed '0,/ relu2 /s// silu /' a.tir >b.tir"
    say "sed -n '/kernel @tmatmul5/,/end/p' b.tir"
    say "printf 'KING RICHARD:\n' >prompt"
    say "tern run a.tir -f prompt --temp 0 -n 12"
    say "tern run b.tir -f prompt --temp 0 -n 12"
    say "tern diff a.tir b.tir"
    say "tern verify a.tir --against b.tir -f prompt"
    echo "exit $?"
} >transcript
cat >expected <<'TEXT'
$ tern opt --dump-after=fuse -o planned.tir >a.tir
$ sed -n '/ relu2 /{=;p;}' a.tir | head -2
139
    %28: f32[T,768] = relu2 %24
$ sed '0,/ relu2 /s// silu /' a.tir >b.tir
$ sed -n '/kernel @tmatmul5/,/end/p' b.tir
  kernel @tmatmul5 {root=tmatmul}
    %21: f32[T,256] = rmsnorm %20, $l0.ffn_norm {eps=0x1.4f8b58p-17}
    %22: q8[T,256] = quant %21
    %215: i32[T,1536] = tmatmul %22, $214
    %216: f32[T,1536] = dequant %215, %22, $214
    %24: f32[T,768] = slice %216 {lo=0, n=768}
    %28: f32[T,768] = silu %24
    %27: f32[T,768] = slice %216 {lo=768, n=768}
    %29: f32[T,768] = mul %28, %27
  end
$ printf 'KING RICHARD:\n' >prompt
$ tern run a.tir -f prompt --temp 0 -n 12
Well, I will not be so, nor I will
$ tern run b.tir -f prompt --temp 0 -n 12
Well, that thou hast not been, and thou hast
$ tern diff a.tir b.tir
~ %28 relu2 -> silu (l0.ffn, f32[T,768]) at a.tir:139, b.tir:139
1 changed, 0 added, 0 removed; 299 of 300 ops alike
$ tern verify a.tir --against b.tir -f prompt
different: %28: f32[T,768] = relu2 %24 (a.tir:139)
      and: %28: f32[T,768] = silu %24 (b.tir:139)
  at row 0, column 0 (position 0, token 1789)
  a  0.311607212 (0x1.3f15f6p-2)
  b  0.355048954 (0x1.6b91f4p-2), 1457663 ulp apart
exit 1
TEXT
diff expected transcript || { echo "FAILED: the walk goes another way"; tail -3 "$dir/err"; exit 1; }
echo "walk: as written"
