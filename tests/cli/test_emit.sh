#!/usr/bin/env bash
# tern compile --emit: the code of one level as IR, assembly and object, each kernel's text above its function.
set -u
. "$(dirname "$0")/program.sh"

# refusals; they need no code generator
run 2 compile --emit=wasm -o x
case $("$tern" --version) in *"no LLVM"*) kinds=", ptx" ;; *) kinds=", llvm, asm, obj, ptx" ;; esac
is "unknown kind" "$err" "tern compile: --emit: got 'wasm', expected one of blob, exe, blob-obj, tir, json, dot$kinds (see tern compile --help)"
case $("$tern" --version) in
*"no LLVM"*)
    run 2 compile --emit=asm -o x
    is "no kind of listing" "$err" "tern compile: --emit: got 'asm', expected one of blob, exe, blob-obj, tir, json, dot, ptx (see tern compile --help)"
    echo "emit: $checks checks, $failures failures; no code generator, so no listings"
    [ $failures = 0 ]
    exit
    ;;
esac
run 1 compile --emit=asm --cpu ref
is "ref" "$err" "tern: error: level ref has no code: its kernels are evaluated"
run 1 compile --emit=asm --cpu vax
is "unknown level" "$err" "tern: error: --cpu: got 'vax', expected one of avx2, avx-vnni, avx512-vnni, amx, neon, neon-dotprod, neon-i8mm, sm_80, sm_90a, ref"
run 1 compile --emit=tir --levels avx2,vax
is "unknown level, by its other name" "$err" "tern: error: --levels: got 'vax', expected one of avx2, avx-vnni, avx512-vnni, amx, neon, neon-dotprod, neon-i8mm, sm_80, sm_90a, ref"
run 1 compile -o x --levels avx2,avx2
is "a level twice" "$err" "tern: error: --levels: avx2 is given twice"
run 1 compile -o x --levels avx2,,ref
is "an empty level" "$err" "tern: error: --levels: an empty item in a list"
run 2 compile -o x --levels ref --cpu avx2
is "two lists" "$err" "tern compile: --cpu: got 'ref' and then 'avx2', expected one value (see tern compile --help)"
run 2 run --levels avx2
is "levels where code runs" "$err" "tern run: '--levels': here it is --cpu (see tern run --help)"
run 2 compile --weights x.gguf -o x
is "weights of nothing" "$err" "tern compile: --weights goes with a .tir (see tern compile --help)"

# Every function of the listing has the lines of its kernel above it, after the comment sign.
kernels() { grep -c "^$1   kernel @" "$dir/$2"; }
for level in avx2 neon-dotprod; do
    sign='#'
    [ $level = neon-dotprod ] && sign='//'
    run 0 compile --emit=asm --cpu $level -o "$dir/asm"
    run 0 compile --emit=llvm --cpu $level -o "$dir/llvm"
    run 0 compile --emit=obj --cpu $level -o "$dir/obj"
    n=$(grep -c '^	\.globl	' "$dir/asm")
    [ "$n" -gt 10 ] || no "$level: $n functions in the assembly"
    is "$level: kernels in the assembly" "$(kernels "$sign" asm)" "$n"
    is "$level: kernels in the IR" "$(kernels ';' llvm)" "$n"
    is "$level: functions in the IR" "$(grep -c '^define void' "$dir/llvm")" "$n"
    is "$level: the object is ELF" "$(head -c 4 "$dir/obj" | od -An -c | tr -d ' ')" '177ELF'
    # the op lines stand above the function that computes them
    awk -v s="$sign" 'index($0, s) == 1 { notes = notes $0; next }
        /^\t\.globl\t/ { if (notes ~ /= relu2 / && $2 ~ /tmatmul/) good = 1 }
        !/^$/ { notes = "" } END { exit !good }' "$dir/asm" || no "$level: no relu2 above a tmatmul's function"
    case $(head -40 "$dir/llvm") in
    *"; graph @step level=$level kv=f16 rows=1..1: this kernel, and "*"same code"*) ;;
    *) no "$level: no heading in the IR" ;;
    esac
done

# Without dot products there is none, and a product of one row takes two instructions for 16 multiplications, and few others:
# its functions, with prefetches and what is done once a row, have 0.3 instructions a weight.
run 0 compile --emit=asm --cpu neon -o "$dir/asm"
case $(<"$dir/asm") in *sdot*) no "neon: a dot product" ;; esac
for k in 256 768; do
    n=$(sed -n "/^tmatmul_k${k}_1024_12288_0:/,/^\.Lfunc_end/p" "$dir/asm" | grep -c '^	[a-z]')
    [ "$n" -gt $((k / 8)) ] && [ "$n" -le $((k * 30 / 100 + 70)) ] || no "neon: $n instructions for $k weights of a row"
done

# Instructions a weight in the loops of levels that few machines here have. avx-vnni: of one row, a line of 256 weights is two
# registers, each with a load, four masks and four products, where AVX2 also shifts, adds and widens. Nothing of it is AVX-512.
# loop FILE FUNCTION OP: the instructions of its innermost loop with that one, and how many of them it is
loop() {
    sed -n "/^$2:/,/^\.Lfunc_end/p" "$dir/$1" | awk -v op="$3" '/^\.LBB/ { n = 0; hit = 0 } /^\t[a-z{]/ { n++ } index($0, op) { hit++ }
        hit && /^\t(j|b\.|cb)/ { print n, hit; exit }'
}
run 0 compile --emit=asm --cpu avx2 -o "$dir/avx2"
run 0 compile --emit=asm --cpu avx-vnni -o "$dir/vnni"
case $(<"$dir/vnni") in *%zmm*) no "avx-vnni: registers of AVX-512" ;; esac
read -r n products < <(loop vnni tmatmul_k256_1024_12288_0 vpdpbusd)
is "avx-vnni: products of a line" "$products" 8
read -r old _ < <(loop avx2 tmatmul_k256_1024_12288_0 vpmaddubsw) # of one line too
[ "$n" -le 26 ] && [ "$n" -lt "$old" ] || no "avx-vnni: $n instructions for 256 weights, $old with avx2"
# neon-i8mm: a block of a prompt's rows has an smmla for 32 products and an instruction beside it, neon-dotprod an sdot for 16.
run 0 compile --emit=asm --cpu neon-i8mm -o "$dir/i8mm"
run 0 compile --emit=asm --cpu neon-dotprod -o "$dir/dotprod"
read -r n products < <(loop i8mm tmatmul_k256_4x4_mmla_last smmla)
read -r old dots < <(loop dotprod tmatmul_k256_4x4_last sdot)
is "neon-i8mm: the same products in half as many" "$((2 * products))" "$dots"
[ "$n" -le $((2 * products + 4)) ] && [ "$n" -le $((old * 6 / 10)) ] || no "neon-i8mm: $n instructions for $products smmla, $old for $dots sdot"
case $(<"$dir/dotprod") in *mmla*) no "neon-dotprod: products of matrices" ;; esac

# Where the op changes, a comment has its line; nothing of the debug info it comes from is left, and the instructions are
# those of code that runs.
mnemonics() { # without the padding, which assemblers choose
    sed -n 's/^[[:space:]]*[0-9a-f]*:[[:space:]]*\([a-z][a-z0-9.]*\).*/\1/p' | grep -v '^nop\|^data16$\|^cs$\|^xchg$'
}
run 0 compile --emit=asm --cpu avx2 -o "$dir/asm"
grep -q '^	# %.* = dequant %' "$dir/asm" || no "no comment at the instructions of a dequant"
grep -q '^	# %.* = tmatmul %' "$dir/asm" || no "no comment at the instructions of a tmatmul"
is "debug info left" "$(grep -c '\.loc\|\.cfi_\|\.debug\|Ltmp\|Lfunc_begin' "$dir/asm")" 0
run 0 compile --emit=llvm --cpu avx2 -o "$dir/llvm.ll"
for op in dequant tmatmul rmsnorm matmul attend argmax; do
    grep -q "^  ; %.* = $op" "$dir/llvm.ll" || no "no comment at the instructions of $op in the IR"
done
is "debug info left in the IR" "$(grep -c 'dbg\|!DI\|Debug Info' "$dir/llvm.ll")" 0
as=$(command -v llvm-as-19 || command -v llvm-as)
version=$("${as:-false}" --version 2>/dev/null | sed -n 's/.*LLVM version \([0-9]*\).*/\1/p')
[ "${version:-0}" -lt 15 ] || "$as" "$dir/llvm.ll" -o /dev/null 2>"$dir/err" || no "the IR: $(head -3 "$dir/err")"
if [ "$(uname -m)" = x86_64 ] && command -v cc >/dev/null && command -v objdump >/dev/null; then
    run 0 compile --emit=obj --cpu avx2 -o "$dir/run.o"
    cc -c -x assembler "$dir/asm" -o "$dir/shown.o" 2>"$dir/err" || no "the assembly: $(head -3 "$dir/err")"
    objdump -d --no-show-raw-insn "$dir/run.o" | mnemonics >"$dir/run.ops"
    objdump -d --no-show-raw-insn "$dir/shown.o" | mnemonics >"$dir/shown.ops"
    [ "$(wc -l <"$dir/run.ops")" -gt 1000 ] || no "objdump showed little: $(head -3 "$dir/run.ops")"
    cmp -s "$dir/run.ops" "$dir/shown.ops" || no "shown and run code differ: $(diff "$dir/run.ops" "$dir/shown.ops" | head -3)"
fi

# standard output is the default, the first level of a list is taken, and the same bytes come every time
run 0 compile --emit=asm --cpu neon-dotprod,avx2
cp "$dir/out" "$dir/again"
run 0 compile --emit=asm --cpu neon-dotprod -o "$dir/asm"
cmp -s "$dir/again" "$dir/asm" || no "asm on standard output differs"
run 0 compile --emit=obj --cpu neon-dotprod -o -
cmp -s "$dir/out" "$dir/obj" || no "obj on standard output differs"

# from an edited text: the op is in the code's text, and a blob comes of it too
"$tern" opt --passes= | sed 's/relu2/silu/' >"$dir/silu.tir"
run 0 compile "$dir/silu.tir" --emit=llvm --cpu avx2
grep -q '^; .*= silu %' "$dir/out" || no "no silu in the IR of the edited graph"
grep -q '^; .*= relu2 %' "$dir/out" && no "relu2 in the IR of a graph without it"
run 0 compile "$dir/silu.tir" -o "$dir/silu.tern" --cpu avx2
run 0 opt "$dir/silu.tern"
is "silu in the blob" "$(grep -c '= silu ' "$dir/out")" 6

# the object links and the assembly assembles, where there is a toolchain for it
if [ "$(uname -m)" = x86_64 ] && command -v cc >/dev/null; then
    run 0 compile --emit=asm --cpu avx2 -o "$dir/k.s"
    cc -c "$dir/k.s" -o "$dir/k.o" 2>"$dir/err" || no "the assembly does not assemble: $(head -3 "$dir/err")"
fi
finish emit
