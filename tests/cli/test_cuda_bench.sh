#!/bin/bash
# bench/cuda.sh and its probe, whole, over the tests' own driver (tests/support/fake_cuda), whose times mean nothing. The probe's
# kernels go through ptxas where there is one.
set -u
build=$1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export TMPDIR=$dir
bad=0
no() { echo "FAILED: $*"; bad=1; }
fake=$build/tests/fake_cuda
mkdir "$dir/none" "$dir/texts"
echo "not a library" >"$dir/none/libcuda.so.1"
# json FILE: each line is one value
json() {
    command -v python3 >/dev/null || return 0
    python3 -c 'import json, sys
for line in open(sys.argv[1]): json.loads(line)' "$1" 2>"$dir/json" || no "$1 is no JSON: $(tail -1 "$dir/json")"
}

# the probe: kernels of the table's instructions run and are right, others are refused by name
env LD_LIBRARY_PATH="$fake" FAKE_CUDA_ARCH=90 FAKE_CUDA_REPORT="$dir/report" "$build/bench_cuda_probe" --small >"$dir/probe" || no "the probe: exit $?"
json "$dir/probe"
[ "$(grep -c '"equal":true' "$dir/probe")" = 16 ] || no "the probe, kernels that ran: $(cat "$dir/probe")"
grep -q '"equal":false' "$dir/probe" && no "the probe: $(cat "$dir/probe")"
[ "$(grep -c '"refused":.* is no row of ptx.def"}$' "$dir/probe")" = 9 ] || no "the probe, kernels that are refused: $(cat "$dir/probe")"
grep -q ', 0 objects left, [0-9]* launches, 0 faults$' "$dir/report" || no "the probe leaves objects: $(cat "$dir/report")"
env LD_LIBRARY_PATH="$fake" FAKE_CUDA_ARCH=80 "$build/bench_cuda_probe" --small >"$dir/probe" || no "the probe, sm_80: exit $?"
[ "$(grep -c '"refused":"it is for sm_90a, the device takes sm_80"}$' "$dir/probe")" = 9 ] || no "the probe, sm_80: $(cat "$dir/probe")"
env LD_LIBRARY_PATH="$fake" FAKE_CUDA_WRONG=dp4a_us "$build/bench_cuda_probe" --small >"$dir/probe" && no "the probe, a wrong dp4a: exit 0"
[ "$(grep -c '"probe":"gemv".*"equal":false' "$dir/probe")" = 12 ] || no "the probe, a wrong dp4a: $(cat "$dir/probe")"
# a kernel that faults spoils itself alone
env LD_LIBRARY_PATH="$fake" FAKE_CUDA_WRONG=copy_wait_all "$build/bench_cuda_probe" --small >"$dir/probe" 2>"$dir/err" && no "the probe, a fault: exit 0"
grep -q '"way":"cp.async","rows":1,"refused":"cuda:0: cu.*LAUNCH_FAILED' "$dir/probe" || no "the probe, a fault: $(cat "$dir/probe")"
grep -q '"probe":"tile","way":"mma".*"equal":true' "$dir/probe" || no "the probe after a fault: $(cat "$dir/probe")"
env LD_LIBRARY_PATH="$dir/none" "$build/bench_cuda_probe" >"$dir/probe" 2>"$dir/err" && no "the probe without a driver: exit 0"
grep -q '^cuda_probe: no driver of CUDA: ' "$dir/err" || no "the probe without a driver: $(cat "$dir/err")"

ptxas=$(PATH=$PATH:${CUDA_HOME:-/nowhere}/bin:/usr/local/cuda/bin command -v ptxas)
assemble() { # LEVEL FILES..
    local level=$1 f
    shift
    for f in "$@"; do
        "$ptxas" -v -arch="$level" -o "$dir/cubin" "$f" 2>"$dir/said" || no "ptxas, $level: $(head -1 "$dir/said")"
        grep -q ' 0 bytes spill stores' "$dir/said" || no "$level, ${f##*/} spills: $(grep spill "$dir/said")"
    done
}
if [ -n "$ptxas" ]; then
    "$build/bench_cuda_probe" --texts "$dir/texts" || no "--texts: exit $?"
    [ "$(find "$dir/texts" -name '*.ptx' | wc -l)" = 26 ] || no "texts: $(ls "$dir/texts")"
    assemble sm_90a "$dir"/texts/*.ptx
    "$build/bench_cuda_probe" --texts "$dir/texts" --level sm_80 || no "--texts, sm_80: exit $?"
    rm "$dir"/texts/{gemv_bulk*,gap_pdl,ring_barriers,tile_wgmma}.ptx
    assemble sm_80 "$dir"/texts/*.ptx
else
    echo "skipped: the probe's kernels are not assembled: there is no ptxas"
fi

# the whole script
whole() { # FOLDER-OF-DRIVER SETTINGS
    # shellcheck disable=SC2086
    env LD_LIBRARY_PATH="$1" FAKE_CUDA_ARCH=90 ${2:-} bash "$root/bench/cuda.sh" "$dir/travel" --out "$dir/out" >"$dir/said" 2>&1
}
TERN=$build/tern bash "$root/bench/cuda.sh" --prepare "$dir/travel" --small --build "$build" >"$dir/said" 2>&1 || no "--prepare: $(cat "$dir/said")"
whole "$fake" || no "cuda.sh: exit $?: $(cat "$dir/said" "$dir"/out/*.json)"
for name in 1-check 2-equal 3-speed 4-probe 5-sanitizer; do json "$dir/out/$name.json"; done
grep -qE '^\{"step":"check","exit":0,.*"not_ok":0,"sum":"cuda:0, ' "$dir/out/1-check.json" || no "check: $(cat "$dir/out/1-check.json")"
[ "$(grep -c '"equal":true' "$dir/out/2-equal.json")" = 4 ] || no "equal: $(cat "$dir/out/2-equal.json")"
grep -q '^{"bench":"decode","result":\[ .*"avg_ts"' "$dir/out/3-speed.json" || no "speed: $(cat "$dir/out/3-speed.json")"
[ "$(grep -c . "$dir/out/4-probe.json")" = 27 ] || no "probe: $(cat "$dir/out/4-probe.json")"
grep -q '^{"what":"verify tiny-tq2","exit":0,' "$dir/out/2-equal.json" || no "verify: $(cat "$dir/out/2-equal.json")"
whole "$fake" FAKE_CUDA_WRONG=mma_u8s8 && no "cuda.sh, a wrong mma: exit 0"
grep -q '"row":"mma_u8s8","result":"mma.sync[^ ]* *differs ' "$dir/out/1-check.json" || no "check, a wrong mma: $(cat "$dir/out/1-check.json")"
grep -q '"model":"verse","what":"logits","equal":false,"exit":0,.*"bytes_different":[1-9]' "$dir/out/2-equal.json" || no "equal, a wrong mma: $(cat "$dir/out/2-equal.json")"
grep -q '^{"what":"verify tiny-tq2","exit":1,.*"printed":"different: kernel @tmatmul' "$dir/out/2-equal.json" || no "verify, a wrong mma: $(cat "$dir/out/2-equal.json")"
whole "$dir/none" && no "cuda.sh without a driver: exit 0"
for name in 1-check 2-equal 3-speed 4-probe; do
    json "$dir/out/$name.json"
    grep -q '"said":".*no driver of CUDA: ' "$dir/out/$name.json" || no "$name without a driver: $(cat "$dir/out/$name.json")"
done
bash "$root/bench/cuda.sh" "$dir/none" >"$dir/said" 2>&1
[ $? = 2 ] || no "a folder that is not prepared: exit $?"
grep -q "^cuda.sh: $dir/none is not prepared: run cuda.sh --prepare there, on any machine\$" "$dir/said" || no "a folder that is not prepared: $(cat "$dir/said")"
exit $bad
