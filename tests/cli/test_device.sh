#!/bin/bash
# --device and tern devices, over the tests' own driver (tests/support/fake_cuda) and over one that cannot be opened.
set -u
build=$1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tern=$build/tern
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export XDG_CACHE_HOME=$dir/cache
bad=0
no() { echo "FAILED: $*"; bad=1; }
mkdir "$dir/none"
echo "not a library" >"$dir/none/libcuda.so.1"
# on FOLDER SETTINGS WORDS..: runs tern with that driver; SETTINGS as in FAKE_CUDA_ARCH=70, or -
on() {
    local folder=$1 settings=$2
    shift 2
    [ "$settings" = - ] && settings=
    # shellcheck disable=SC2086
    env LD_LIBRARY_PATH="$folder" $settings "$tern" "$@" >"$dir/out" 2>"$dir/err"
    status=$?
}
fake=$build/tests/fake_cuda
# without LLVM the cpu's side is the evaluator's, and auto's line is followed by a refusal to compile
case $("$tern" --version) in *"no LLVM"*) cpu="--target ref" ran=1 ;; *) cpu="" ran=0 ;; esac
[ $ran = 0 ] || echo "no code generator for the cpu: --device auto ends in a refusal, ids and logits are the evaluator's"
# expect WHAT STATUS FILE PATTERN: the first line of a file is like that
expect() {
    local first
    first=$(head -1 "$dir/$3")
    [ "$status" = "$2" ] || no "$1: exit $status, expected $2: $(cat "$dir/err")"
    # shellcheck disable=SC2254
    case $first in $4) ;; *) no "$1: got '$first', expected '$4'" ;; esac
}

on "$fake" FAKE_CUDA_DEVICES=2 devices
expect "the table" 0 out "device *capability *memory GB *CUDA *levels *name"
grep -qE '^cuda:1 +8\.0 +4\.3 +12\.4 +sm_80 +Fake GPU 1$' "$dir/out" || no "the second device: $(cat "$dir/out")"
on "$fake" FAKE_CUDA_ARCH=90 devices
grep -qE '^cuda:0 +9\.0 .* sm_90a,sm_80 ' "$dir/out" || no "capability 9.0: $(cat "$dir/out")"
on "$fake" FAKE_CUDA_ARCH=70 devices
grep -qE '^cuda:0 +7\.0 .* none ' "$dir/out" || no "capability 7.0: $(cat "$dir/out")"
grep -q '^instructions that no GPU has run in a check: ' "$dir/out" || no "the rows never seen: $(cat "$dir/out")"
# a call that fails: nothing is printed before all is known
failed=0
for ((i = 8; i < 16; i++)); do
    on "$fake" "FAKE_CUDA_FAIL=$i" devices
    [ "$status" = 0 ] || failed=$((failed + 1))
    [ "$status" = 0 ] || [ ! -s "$dir/out" ] || no "devices, call $i fails: $(cat "$dir/out" "$dir/err")"
done
[ $failed -gt 0 ] || no "devices: no call fails"
# every row of instructions on the device; one that is done wrongly, and one that faults
on "$fake" FAKE_CUDA_ARCH=90 devices --check
expect "devices --check" 0 out "row *instruction *cuda:0"
grep -qE '^cuda:0, Fake GPU 0, driver 12.4, sm_90a: [0-9]+ instructions, 0 differ$' "$dir/out" || no "its sum: $(tail -1 "$dir/out")"
grep -vE ' ok$|^row |^cuda:0, ' "$dir/out" && no "devices --check: more than that"
on "$fake" FAKE_CUDA_WRONG=sqrt_f devices --check --device cuda:0
expect "a wrong sqrt" 1 out "row *"
grep -qE '^sqrt_f +sqrt.rn.f32 +differs of 0x0+: got 0x0+1, expected 0x0+; [0-9]+ of 3072 differ$' "$dir/out" || no "a wrong sqrt: $(grep sqrt "$dir/out")"
grep -q ' instructions, 1 differ$' "$dir/out" || no "a wrong sqrt: $(tail -1 "$dir/out")"
on "$fake" FAKE_CUDA_WRONG=sts4 devices --check
expect "sts4 is not done" 1 out "row *"
grep -qE '^sts4 +st.shared.v4.u32 +differs byte 0 of thread 0: ' "$dir/out" || no "sts4: $(grep sts4 "$dir/out")"
on "$fake" FAKE_CUDA_WRONG=copy_wait devices --check
expect "copies that nobody waits for" 1 out "row *"
grep -qE '^copy_wait +cp.async.wait_group +fails: cuda:0: cu.*' "$dir/out" || no "copy_wait: $(grep copy_wait "$dir/out")"
grep -qE '^bfly +shfl.sync.bfly.b32 +ok$' "$dir/out" || no "a row after one that faults: $(grep bfly "$dir/out")"
# a driver that is not unloaded stays out of order: rows after the one that faults are not tried
on "$fake" "FAKE_CUDA_WRONG=copy_wait FAKE_CUDA_STAYS=1" devices --check
expect "a device that does not come back" 1 out "row *"
grep -qE '^copy4 +cp.async.ca.shared.global +fails: cuda:0: cu.*' "$dir/out" || no "copy4: $(grep ^copy "$dir/out")"
grep -qE '^bfly +shfl.sync.bfly.b32 +not tried: the device does not come back: .*error 719$' "$dir/out" || no "a row that is not tried: $(grep bfly "$dir/out")"
grep -qE ' instructions, 1 differ, [0-9]+ not tried$' "$dir/out" || no "rows that are not tried: $(tail -1 "$dir/out")"
mkdir "$dir/alone"
find "$build" -maxdepth 1 -name 'libtern*.so*' ! -name 'libternc*' -exec cp -P {} "$dir/alone" \;
cp "$build/tern" "$dir/alone"
env LD_LIBRARY_PATH="$fake" "$dir/alone/tern" devices >"$dir/out" 2>"$dir/err" || no "without the compiler library: $(cat "$dir/err")"
grep -q '^cuda:0 ' "$dir/out" || no "without the compiler library: $(cat "$dir/out")"
grep -q '^no compiler library, ' "$dir/out" || no "without the compiler library, its line: $(cat "$dir/out")"
on "$dir/none" - devices --check
expect "devices --check without a driver" 1 err "tern: error: no driver of CUDA: *"
on "$fake" - devices --device cuda:0
expect "--device without --check" 2 err "tern devices: --device *"
# settings, and why there is no GPU then
while IFS='|' read -r folder settings line; do
    on "$folder" "$settings" devices
    expect "devices, $settings" 0 out "no GPU: $line"
    on "$folder" "$settings" run --device cuda -p a -n 1
    expect "--device cuda, $settings" 1 err "tern: error: $line"
    on "$folder" "$settings" run --device auto -p a -n 2 --temp 0
    expect "--device auto, $settings" $ran err "tern: device cpu: $line"
    cp "$dir/out" "$dir/auto"
    on "$folder" "$settings" run -p a -n 2 --temp 0
    [ $ran = 1 ] || cmp -s "$dir/auto" "$dir/out" || no "--device auto, $settings: another text"
done <<END
$dir/none|-|no driver of CUDA: *libcuda.so.1*
$fake|FAKE_CUDA_DEVICES=0|libcuda.so.1: cuInit: no CUDA-capable device is detected (CUDA_ERROR_NO_DEVICE)
$fake|FAKE_CUDA_DRIVER=11030|libcuda.so.1: a driver of CUDA 11.3, expected 11.4 or newer
END
on "$fake" FAKE_CUDA_ARCH=75 run --device auto -p a -n 1
expect "an old GPU, auto" $ran err "tern: device cpu: Fake GPU 0 has compute capability 7.5, expected 8.0 or newer"
on "$fake" FAKE_CUDA_ARCH=75 run --device cuda -p a -n 1
expect "an old GPU" 1 err "tern: error: *7.5, expected 8.0 or newer*"
on "$fake" - run --device cuda:3 -p a -n 1
expect "a device that is not there" 1 err "tern: error: device cuda:3: expected cuda:0 to cuda:0"
on "$fake" - run --device auto --target ref -p a -n 1
expect "the evaluator, auto" 0 err "tern: device cpu: --target makes no code"
on "$fake" - run --device auto --cpu avx2 -p a -n 1
expect "a cap of processors, auto" "$status" err "tern: device cpu: --cpu names a level of processors"
on "$fake" - run --device cuda --target ref -p a -n 1
expect "the evaluator" 2 err "tern run: --device cuda runs code, and --target ref makes none *"
on "$fake" - run --device cuda --cpu avx2 -p a -n 1
expect "a cap of processors" 1 err "tern: error: --cpu: 'avx2' is of another architecture, *"
# a model that no kernel for a GPU can hold
"$build/make_gguf" --arch qwen3 --heads 2 --kv-heads 1 --head-dim 640 --layers 1 -o "$dir/wide.gguf"
on "$fake" - run "$dir/wide.gguf" --device cuda -p a -n 1
expect "wide heads" 1 err "tern: *"
grep -q '^tern: error: kernel @.* on level sm_80: ptx lacks heads of more than 512 columns$' "$dir/err" || no "wide heads: $(cat "$dir/err")"
on "$fake" - run "$dir/wide.gguf" --device auto -p a -n 1
expect "wide heads, auto" $ran err "tern: *"
grep -q '^tern: device cpu in place of cuda:0: kernel @.* on level sm_80: ptx lacks heads of more than 512 columns$' "$dir/err" || no "wide heads, auto: $(cat "$dir/err")"
[ "$(grep -c '^tern: device' "$dir/err")" = 1 ] || no "wide heads, auto: more than one line: $(cat "$dir/err")"
for name in gpu cuda: cuda:x cuda1 cpu:0; do
    on "$fake" - run --device "$name" -p a -n 1
    expect "--device $name" 2 err "tern run: --device: '$name', expected cpu, cuda, cuda:N or auto *"
done
# the trained model there: ids and logits of the cpu's, by a .gguf, a .tern and auto
ids=1789,978,1530,317
# shellcheck disable=SC2086
"$tern" run $cpu --tokens $ids --temp 0 -n 4 --print-tokens --seed 1 >"$dir/ids" 2>"$dir/err" || no "ids of the cpu: $(cat "$dir/err")"
# shellcheck disable=SC2086
"$tern" logits $cpu --tokens $ids -o "$dir/logits" 2>"$dir/err" || no "logits of the cpu: $(cat "$dir/err")"
"$tern" compile -o "$dir/m.tern" --levels sm_80,sm_90a --kv f16 2>"$dir/err" || no "compile: $(cat "$dir/err")"
for words in "--device cuda" "--device auto" "$dir/m.tern --device cuda:0" "$dir/m.tern --device cuda --cpu sm_80"; do
    # shellcheck disable=SC2086
    on "$fake" FAKE_CUDA_ARCH=90 run $words --tokens $ids --temp 0 -n 4 --print-tokens --seed 1
    [ "$status" = 0 ] || no "$words: $(cat "$dir/err")"
    cmp -s "$dir/ids" "$dir/out" || no "$words: other ids: $(cat "$dir/out")"
    case $words in *auto) expect "$words" 0 err "tern: device cuda:0: Fake GPU 0, which runs sm_90a,sm_80" ;; esac
done
grep -q ', sm_80, ' "$dir/err" || no "--cpu sm_80 is no cap: $(cat "$dir/err")"
"$tern" verify "$dir/m.tern" --target ref --tokens 1789 >"$dir/out" 2>"$dir/err" || no "verify: $(cat "$dir/out" "$dir/err")"
on "$fake" - logits --device cuda --tokens $ids -o "$dir/got"
cmp -s "$dir/logits" "$dir/got" || no "other logits"
# values that saturate in an f16 cache are counted there too, those of a prompt and of single rows
if command -v python3 >/dev/null; then
    python3 -IS "$root/tests/support/gguf_edit.py" "$root/models/verse-i2_s.gguf" "$dir/big.gguf" "tensor:blk.0.attn_v.weight*1e8"
    # shellcheck disable=SC2086
    "$tern" run "$dir/big.gguf" $cpu --tokens $ids -n 3 --temp 0 >"$dir/out" 2>"$dir/want" || no "values that saturate: $(cat "$dir/want")"
    on "$fake" - run "$dir/big.gguf" --device cuda --tokens $ids -n 3 --temp 0
    line=$(grep 'saturated at 65504' "$dir/want")
    [ -n "$line" ] && [ "$(grep 'saturated at 65504' "$dir/err")" = "$line" ] || no "values that saturate: $(cat "$dir/err"), expected $line"
    on "$fake" - run "$dir/big.gguf" --device cuda --kv f32 --tokens $ids -n 2 --temp 0
    grep -q saturated "$dir/err" && no "a cache of f32: $(cat "$dir/err")"
else
    echo "skipped: values that saturate: there is no python3"
fi
# more hidden rows in a step than rows of logits
for pooling in none mean last; do
    # shellcheck disable=SC2086
    "$tern" embed $cpu --pooling $pooling -p "In the beginning God created" >"$dir/vector" 2>"$dir/err" || no "embed: $(cat "$dir/err")"
    on "$fake" - embed --device cuda --pooling $pooling -p "In the beginning God created"
    [ -s "$dir/vector" ] && cmp -s "$dir/vector" "$dir/out" || no "embed, $pooling: other vectors: $(cat "$dir/err")"
done
# verify: launch by launch against the evaluator; a kernel that is wrong, one that faults, and what goes with it
equal="* kernels, * launches, * values (* bytes) equal, level"
on "$fake" - verify --device cuda --tokens $ids,44,9,100,3,1
expect "verify" 0 out "$equal sm_80, kv f16, rows 1, 2..8 and 9..512; * results as the model's graph gives them"
on "$fake" - verify --device cuda:0 --tokens $ids --kv i8 --head q6 --bisect
expect "verify --bisect" 0 out "$equal sm_80, kv i8, rows 1 and 2..8; *"
grep -q '^no pass: [0-9]* stages of the pipeline give what the model' "$dir/out" || no "verify --bisect: $(cat "$dir/out")"
on "$fake" FAKE_CUDA_ARCH=90 verify "$dir/m.tern" --device cuda --tokens $ids
expect "verify of a .tern" 0 out "$equal sm_90a, kv f16, rows 1 and 2..8; * results as the first step gives them"
on "$fake" FAKE_CUDA_ARCH=90 verify "$dir/m.tern" --device cuda --cpu sm_80 --tokens 1
expect "verify --cpu" 0 out "$equal sm_80, kv f16, rows 1; *"
on "$fake" FAKE_CUDA_REPORT="$dir/report" verify --device cuda --tokens 1,2
expect "verify, objects" 0 out "* values (* bytes) equal, level sm_80, *"
grep -q ', 0 objects left, [0-9]* launches, 0 faults$' "$dir/report" || no "verify leaves objects: $(cat "$dir/report")"
while read -r row op; do
    on "$fake" FAKE_CUDA_WRONG=$row verify --device cuda --tokens $ids,44,9,100,3,1 --bisect
    expect "verify, a wrong $row" 1 out "different: kernel @*, level sm_80, kv f16, rows *"
    grep -q "^  op .* = $op .*, the first that differs (emitter ptx/$op)\$" "$dir/out" || no "verify, a wrong $row: $(cat "$dir/out")"
    tail -1 "$dir/out" | grep -q "^no pass: emitter ptx/$op\$" || no "verify --bisect, a wrong $row: $(tail -1 "$dir/out")"
done <<END
sqrt_f rmsnorm
dp4a_us tmatmul
mma_u8s8 tmatmul
bfly_f attend
END
on "$fake" FAKE_CUDA_WRONG=copy_wait verify --device cuda --tokens $ids,44,9,100,3,1
[ "$status" = 2 ] || no "verify, a fault: exit $status"
grep -q '^tern: error: kernel @tmatmul[0-9]* (launch [0-9]* of [0-9]*): cuda:0: cu.*CUDA_ERROR_LAUNCH_FAILED' "$dir/err" || no "verify, a fault: $(cat "$dir/err")"
while IFS='|' read -r words line; do
    # shellcheck disable=SC2086
    on "$fake" - verify --device cuda $words
    expect "verify $words" 2 err "$line"
done <<END
--seed 1|tern verify: --device goes with tokens, not with random inputs *
--tokens 1 --reduce $dir/x.tir|tern verify: --reduce goes with code of a processor, and --device names a GPU *
--tokens 1 -t 2|tern verify: -t goes with code of a processor, and --device names a GPU *
--tokens 1 --target ref|tern verify: --device cuda runs code, and --target ref makes none *
--tokens 1 --cpu avx2|tern: error: --cpu: *'avx2'*
END
on "$dir/none" - verify --device cuda --tokens 1
expect "verify without a driver" 2 err "tern: error: no driver of CUDA: *"
# too little memory for the weights, or for the session that the verb wants: auto takes the cpu and says so
if [ $ran = 0 ]; then
    weights="tern: device cpu in place of cuda:0: *memory for the weights: cuda:0: no memory for * bytes, 2000000 of 2000000 are free"
    session="tern: device cpu in place of cuda:0: cuda:0: no memory for * bytes, * of 2400000 are free"
    "$tern" embed --pooling mean --tokens $ids >"$dir/vector" 2>"$dir/err" || no "embed: $(cat "$dir/err")"
    "$tern" compile -o "$dir/both.tern" --levels avx2,sm_80 --kv f16 2>"$dir/err" || no "compile: $(cat "$dir/err")"
    while IFS='|' read -r memory line; do
        for model in "" "$dir/both.tern"; do
            # shellcheck disable=SC2086
            on "$fake" FAKE_CUDA_MEMORY=$memory run $model --device auto --tokens $ids --temp 0 -n 4 --print-tokens --seed 1
            [ "$status" = 0 ] && cmp -s "$dir/ids" "$dir/out" || no "$memory bytes, run $model: $(cat "$dir/out" "$dir/err")"
            expect "$memory bytes, auto" 0 err "$line"
            [ "$(grep -c '^tern: device' "$dir/err")" = 1 ] || no "$memory bytes, run $model: $(cat "$dir/err")"
        done
        on "$fake" FAKE_CUDA_MEMORY=$memory logits --device auto --tokens $ids -o "$dir/got"
        [ "$status" = 0 ] && cmp -s "$dir/logits" "$dir/got" || no "$memory bytes, logits: $(cat "$dir/err")"
        on "$fake" FAKE_CUDA_MEMORY=$memory embed --device auto --pooling mean --tokens $ids
        [ "$status" = 0 ] && cmp -s "$dir/vector" "$dir/out" || no "$memory bytes, embed: $(cat "$dir/err")"
        on "$fake" FAKE_CUDA_MEMORY=$memory bench --device auto -p 64 -n 2 -r 1 --read-mib 0
        grep -qE '\| sm_80 .*\| +pp64 ' "$dir/out" && no "$memory bytes, bench: $(cat "$dir/out")"
        # shellcheck disable=SC2254
        case $(grep '^tern: device' "$dir/err") in $line) ;; *) no "$memory bytes, bench: $(cat "$dir/err")" ;; esac
    done <<END
2000000|$weights
2400000|$session
1048576|tern: device cpu in place of cuda:0: *cuda:0: no memory for * bytes, * of 1048576 are free
END
    # auto's line stands before what is said of the file that was kept
    on "$fake" TERN_KEEP=1 bench "$root/models/verse-i2_s.gguf" --device auto -p 8 -n 0 -r 1 --read-mib 0
    expect "bench of a model that is kept" 0 err "tern: device cuda:0: *"
    grep -q '^tern: kept for the next start: ' "$dir/err" || no "bench: nothing is kept: $(cat "$dir/err")"
    # a call that fails, wherever: the cpu, after one line, or the device's line if the session was made
    for call in 3 9 14 20 40 80 110 130; do
        on "$fake" FAKE_CUDA_FAIL=$call run "$dir/both.tern" --device auto --tokens $ids --temp 0 -n 4 --print-tokens --seed 1
        [ "$(grep -c '^tern: device' "$dir/err")" = 1 ] || no "call $call fails, auto: $(cat "$dir/err")"
        grep -q '^tern: error: ' "$dir/err" && grep -q '^tern: device cpu' "$dir/err" && no "call $call fails, auto: $(cat "$dir/err")"
        [ "$status" = 1 ] && grep -q '^tern: error: cuda:0: cu' "$dir/err" && continue
        [ "$status" = 0 ] && cmp -s "$dir/ids" "$dir/out" || no "call $call fails, auto: exit $status: $(cat "$dir/out" "$dir/err")"
    done
    rm "$dir/both.tern"
    on "$fake" - bench --device auto -p 2 -n 2 -r 1
    grep -qE '\| sm_80 .*\| tg2 \|.* - \|$|\| sm_80 .* tg2 \|.* - \|$' "$dir/out" || no "bench: $(cat "$dir/out" "$dir/err")"
    on "$fake" FAKE_CUDA_MEMORY=2400000 run --device cuda --tokens $ids -n 1
    expect "no memory for the session" 1 err "tern: error: cuda:0: no memory for * bytes, * of 2400000 are free"
fi
on "$fake" FAKE_CUDA_MEMORY=1048576 run --device cuda -p a -n 1
expect "1 MB of memory" 1 err "tern: error: *cuda:0: no memory for * bytes, * of 1048576 are free"
on "$fake" FAKE_CUDA_FAIL=9 run --device cuda -p a -n 1
expect "the ninth call fails" 1 err "tern: error: *: cu*CUDA_ERROR_UNKNOWN*"
on "$fake" - run "$dir/m.tern" -p a -n 1
expect "a .tern for GPUs on the cpu" 1 err "tern: error: *the file has code for sm_90a, sm_80, this machine runs *"
# shellcheck disable=SC2086
on "$fake" - run --device cpu $cpu -p a -n 1
expect "--device cpu" 0 err "tern: seed *"
exit $bad
