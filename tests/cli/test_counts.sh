#!/usr/bin/env bash
# Instructions a weight in the loops of products with one row of activations, for every level of a CPU and every packing that
# it has code for. What a loop has beyond loads, unpacking and products (a spill, a product that LLVM made of sums) shows here
# on every machine, where timings do not. The bounds leave a tenth for other versions of LLVM.
set -u
. "$(dirname "$0")/program.sh"
case $("$tern" --version) in *"no LLVM"*) echo "skipped: built without LLVM, so there are no listings"; exit 77 ;; esac

# A line is what lies together: 256 weights of p64 and b64, 320 of b80.
# level        function                  product     a line  weights  most instructions for 1000 weights
table="
avx2           tmatmul_k256_1024_12288_0 vpmaddubsw   8       256      160
avx2           tmatmul_beside_k256_1     vpmaddubsw   8       256      165
avx-vnni       tmatmul_k256_1024_12288_0 vpdpbusd     8       256      108
avx-vnni       tmatmul_beside_k256_1     vpdpbusd     8       256      96
avx-vnni       tmatmul_base3_k320_1      vpdpbusd     12      320      132
avx512-vnni    tmatmul_k256_1024_12288_0 vpdpbusd     4       256      69
avx512-vnni    tmatmul_beside_k256_1     vpdpbusd     4       256      58
avx512-vnni    tmatmul_base3_k320_1      vpdpbusd     6       320      73
amx            tmatmul_k256_1024_12288_0 vpdpbusd     4       256      69
neon           tmatmul_k256_1024_12288_0 smull        4       256      314
neon-dotprod   tmatmul_k256_1024_12288_0 sdot         16      256      211
neon-i8mm      tmatmul_k256_1024_12288_0 sdot         16      256      211
"
# counts FILE FUNCTION PRODUCT: the instructions of its innermost loop with that one, and how many of them it is
counts() {
    sed -n "/^$2[a-z0-9_]*:/,/^\.Lfunc_end/p" "$1" | awk -v op="$3" '/^\.LBB/ { n = 0; hit = 0 } /^\t[a-z{]/ { n++ } index($0, op) { hit++ }
        hit && /^\t(j|b\.|cb|tb)/ { print n, hit; exit }'
}
for level in $(sed -n 's/^ *X(.*, "\([a-z0-9-]*\)", \(X86_64\|AARCH64\),.*/\1/p' "$(dirname "$0")/../../runtime/abi/levels.def"); do
    grep -q "^$level " <<<"$table" || no "no row for level $level"
    run 0 compile --emit=asm --cpu "$level" -o "$dir/$level.k256"
done
"$build/make_gguf" --shape tiny --hidden 320 --heads 5 --kv-heads 5 --layers 1 --seed 1 -o "$dir/m.gguf" >/dev/null || no "make_gguf"
for level in avx-vnni avx512-vnni; do
    run 0 compile "$dir/m.gguf" --emit=asm --cpu $level --family zen5 -o "$dir/$level.k320"
done
while read -r level function product a_line weights most; do
    [ -n "$level" ] || continue
    [[ $function =~ k[0-9]+ ]]
    read -r n hits < <(counts "$dir/$level.${BASH_REMATCH[0]}" "$function" "$product")
    checks=$((checks + 1))
    if [ -z "${hits:-}" ] || [ $((hits % a_line)) != 0 ]; then
        no "$level $function: ${hits:-no} $product in the loop, expected a multiple of $a_line"
    elif [ $((n * 1000)) -gt $((most * weights * hits / a_line)) ]; then
        no "$level $function: $n instructions for $((weights * hits / a_line)) weights, expected at most $most for 1000"
    fi
done <<<"$table"
finish counts
