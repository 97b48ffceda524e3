#!/usr/bin/env bash
# Runs the whole program for aarch64 under qemu and compares its output with this machine's. For `./dev test --all`, which
# cross-compiles it:
#   bash tests/cli/aarch64_program.sh BUILD CROSS LIBRARIES
# BUILD: this machine's build; CROSS: the cross build, without LLVM; LIBRARIES: the folder of aarch64's libpcre2, ...
# Exit 77: skipped, with the reason.
set -u
. "$(dirname "$0")/program.sh"
cross=$2 libraries=$3
qemu=$(command -v qemu-aarch64-static || command -v qemu-aarch64 || true)
[ -n "$qemu" ] || { echo "skipped: no qemu-aarch64 (apt install qemu-user-static)"; exit 77; }
# on CPU WORDS...: its standard output in $out, messages in $err, status in $got. $page: the size of the system's pages
page=4096
on() {
    local cpu=$1
    shift
    timeout 300 "$qemu" -p $page -cpu "$cpu" -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH="$libraries" "$cross/tern" "$@" \
        >"$dir/out" 2>"$dir/err" </dev/null
    got=$?
    checks=$((checks + 1))
    unquoted "$dir/err"
    out=$(<"$dir/out")
    err=$(<"$dir/err")
}
# gives WHAT EXPECTED: the last `on` succeeded and printed this
gives() {
    if [ "$got" != 0 ]; then no "$1: exit $got: ${err:0:300}"
    elif [ "$out" != "$2" ]; then no "$1: got '${out:0:300}', expected '${2:0:300}'"
    else echo "$1: ok"; fi
}
model=$root/models/verse-i2_s.gguf
text=(-p "And the LORD said unto Moses," -n 6 --temp 0 --ignore-eos --print-tokens -t 2)

"$tern" run "$model" --target ref "${text[@]}" >"$dir/want" 2>"$dir/err" || no "run here: $(tail -1 "$dir/err")"
want=$(<"$dir/want")
on max --version
case $out in *"cpu levels: neon-i8mm,neon-dotprod,neon"*) echo "the levels are seen: ok" ;; *) no "--version: exit $got, '$out', expected neon-i8mm,neon-dotprod,neon" ;; esac
on cortex-a72 --version
case $out in *"cpu levels: neon") echo "no dot product is seen: ok" ;; *) no "--version: exit $got, '$out', expected neon alone" ;; esac
for cpu in max cortex-a72; do
    on $cpu run "$model" --target ref "${text[@]}"
    gives "run --target ref on $cpu" "$want"
    on $cpu tokenize "$model" -p "In the beginning"
    gives "tokenize on $cpu" "$("$tern" tokenize "$model" -p "In the beginning" 2>&1)"
    on $cpu inspect "$model"
    gives "inspect on $cpu" "$("$tern" inspect "$model" 2>&1)"
    on $cpu bench "$model" --target ref -p 4 -n 1 -r 1 --read-mib 1
    [ "$got" = 0 ] && echo "bench --target ref on $cpu: ok" || no "bench --target ref on $cpu: exit $got: ${err:0:300}"
done
# only a compiler can make the blob, so it is made here
if "$tern" --version | grep -q 'no LLVM'; then
    echo "not run: code for neon-dotprod, which this build without LLVM cannot make"
elif "$tern" compile "$model" -o "$dir/m.tern" --cpu neon-dotprod --kv f16 2>"$dir/err"; then
    on max run "$dir/m.tern" "${text[@]}"
    gives "run of neon-dotprod code" "$want"
    on max bench "$dir/m.tern" -p 16 -n 4 -r 1 --read-mib 1
    [ "$got" = 0 ] && echo "bench: ok" || no "bench: exit $got: ${err:0:300}"
    on max inspect "$dir/m.tern"
    gives "inspect of a blob" "$("$tern" inspect "$dir/m.tern" 2>&1)"
    # a Cortex-A72 has no dot products, so it takes the other code; both give the evaluator's bits with pages of every size
    ids=1789,978,1530,317,87,522,44,299,388,340,297,461
    "$tern" compile "$model" -o "$dir/both.tern" --cpu neon,neon-dotprod --kv f16 2>"$dir/err" || no "compile for neon: $(tail -1 "$dir/err")"
    "$tern" logits "$model" --tokens $ids --target ref -o "$dir/bits" 2>"$dir/err" || no "logits here: $(tail -1 "$dir/err")"
    # (qemu 7.2 cannot start any program on `max` with larger pages)
    for page in 4096 16384 65536; do
        for cpu in cortex-a76 cortex-a72; do
            on $cpu logits "$dir/both.tern" --tokens $ids -o "$dir/bits.arm"
            if [ "$got" = 0 ] && cmp -s "$dir/bits" "$dir/bits.arm"; then echo "logits on $cpu, pages of $page bytes: ok"
            else no "logits on $cpu, pages of $page bytes: exit $got: ${err:0:300}, or other bits"; fi
        done
    done
    page=65536
    on cortex-a72 run "$dir/both.tern" "${text[@]}"
    gives "run of neon code" "$want"
    on cortex-a72 bench "$dir/both.tern" -p 16 -n 4 -r 1 --read-mib 1
    [ "$got" = 0 ] && echo "bench of neon code: ok" || no "bench of neon code: exit $got: ${err:0:300}"
    page=4096
    on cortex-a72 run "$dir/m.tern" --target ref "${text[@]}"
    gives "run of a blob --target ref without the dot product" "$want"
    on cortex-a72 run "$dir/m.tern" "${text[@]}"
    if [ "$got" != 1 ] || [ -n "$out" ] || [ "$(wc -l <"$dir/err")" != 1 ]; then
        no "neon-dotprod without the dot product: exit $got, '${err:0:300}', expected one line and 1"
    else
        case $err in
        *neon-dotprod*"--target ref"*) echo "neon-dotprod is refused without the dot product: ok" ;;
        *) no "neon-dotprod without the dot product: '$err' does not name --target ref" ;;
        esac
    fi
else
    no "compile for neon-dotprod: $(tail -1 "$dir/err")"
fi
finish "aarch64 by $(basename "$cross")"
