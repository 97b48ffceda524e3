#!/bin/bash
# What a GPU does: its instructions, the bits of models, their speed, the pieces of kernels, the sanitizer's word. Two steps:
#
#   bench/cuda.sh --prepare [FOLDER]         on any machine: builds without LLVM, and makes what the code of a processor gives
#   bench/cuda.sh [FOLDER] [--out FOLDER]    on a bare machine with a GPU and this repository: under nine minutes
#
# FOLDER (build/cuda) has all that must travel: programs with their libraries, and results of the processor; at most 64 MiB.
# Models are made where they run. Every step writes a file of one JSON value a line, as soon as it knows one, and has its own
# limit of time, so that a run that is cut off leaves what it had.
#
#   1-check.json      tern devices --check: instructions that differ from the compiler's table; all of them in 1-check.txt
#   2-equal.json      greedy ids and all logits of the trained model and of random ones, compared with the processor's
#   3-speed.json      the shape of BitNet b1.58 2B-4T: its ids compared, tokens a second, the most expensive kernels
#   4-probe.json      bench/cuda_probe.c
#   5-sanitizer.json  compute-sanitizer, where there is one
#   log.txt           what the programs say
#
#   --device NAME     cuda:0
#   --seconds N       for all steps together (525)
#   --build FOLDER    with --prepare: take the programs of this build
#   --small           with --prepare: tiny models, for the tests' driver in software
#
# With --prepare the variable TERN names the program whose code makes the results (build/tern if there is one). The exit status
# is 0 if all steps ran and nothing differs.
set -u -o pipefail
root=$(dirname "$(dirname "$(readlink -f "$0")")")
self=${0##*/}
folder=$root/build/cuda out="" device=cuda:0 seconds=525 build="" prepare=no small=no
die() {
    echo "$self: $*" >&2
    exit 2
}
while [ $# -gt 0 ]; do
    case $1 in
    --prepare) prepare=yes ;;
    --small) small=yes ;;
    --out | --device | --seconds | --build)
        [ $# -gt 1 ] || die "$1: a value is missing"
        printf -v "${1#--}" %s "$2"
        shift
        ;;
    -*) die "got $1, expected one of the flags in the head of $0" ;;
    *) folder=$1 ;;
    esac
    shift
done
case $seconds in "" | *[!0-9]*) die "--seconds: got '$seconds', expected a whole number" ;; esac
export TERN_KEEP=0 # what is compiled is not kept: the machine is not ours

# --- what is compared -----------------------------------------------------------------------------------------
# name | flags of make_gguf, - for the trained model | flags of tern | ids to generate
cases() {
    echo "verse|-||16"
    echo "tiny-tq2|--shape tiny --arch llama --weights tq2_0 --seed 2||4"
    [ $small = no ] || return 0
    echo "verse-i8-q6|-|--kv i8 --head q6|16"
    echo "verse-f32|-|--kv f32 --head f32|16"
    echo "verse-q8|-|--head q8|16"
    local arch n=3
    for arch in $("$bin/make_gguf" --archs); do
        echo "tiny-$arch|--shape tiny --arch $arch --seed $((n++))||8"
    done
    echo "odd|--shape odd --seed 20||8"
    echo "odd-groups|--shape small --weights q2_0 --seed 21||8"
    echo "small|--shape small --weights tq1_0 --untied --seed 22|--kv i8|8"
    echo "dense|--shape tiny --arch llama --weights q8_0 --seed 23||8"
}
big_shape() { if [ $small = yes ]; then echo tiny; else echo 2b4t; fi; }
big_ids=8
tokens=17,3,101,44,9,100,3,1,250,7,31

# model NAME MAKER: makes it if need be and prints its path
model() {
    [ "$2" != - ] || { echo "$folder/verse.gguf" && return; }
    # shellcheck disable=SC2086
    [ -e "$work/$1.gguf" ] || "$bin/make_gguf" $2 -o "$work/$1.gguf" >&2 || return 1
    echo "$work/$1.gguf"
}
# How `tern run` is to generate greedy ids.
greedy=(--tokens "$tokens" --temp 0 --ignore-eos --print-tokens)

# --- on any machine -------------------------------------------------------------------------------------------

build_here() {
    build=$root/build/cuda-build
    {
        cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release -DTERN_LLVM=OFF -DTERN_XSMM=OFF -DTERN_LIBEDIT=OFF \
            -DTERN_SERVE=OFF &&
            cmake --build "$build" -j "$(nproc)" --target tern_program make_gguf bench_cuda_probe
    } >&2 || die "the build failed"
}

copy_programs() {
    local f lib
    mkdir -p "$bin" || exit 2
    for f in tern make_gguf bench_cuda_probe libtern.so.0 libterntext.so.0 libterngenerate.so.0 libternc.so.0; do
        cp -L "$build/$f" "$bin/" || die "$build: there is no $f"
        strip "$bin/$f" 2>/dev/null
    done
    # libraries that a bare machine may lack
    for lib in pcre2-8 jansson; do
        f=$(ldd "$bin/libternc.so.0" "$bin/tern" | sed -nE "s,.*=> (/[^ ]*lib$lib\.so[^ ]*) .*,\1,p" | head -1)
        [ -z "$f" ] || cp -L "$f" "$bin/" || exit 2
    done
    # what else they need must be there: a program that does not start makes a whole run worthless
    for f in tern make_gguf bench_cuda_probe libternc.so.0; do
        lib=$(ldd "$bin/$f" | sed -nE "/(libc|libm|ld-linux[^ ]*)\.so/d; s,^\s*(lib[^ ]*) => /.*,\1,p; s,^\s*([^ ]*) => not found,\1,p" |
            while read -r lib; do [ -e "$bin/$lib" ] || printf ' %s' "$lib"; done)
        [ -z "$lib" ] || echo "$self: warning: $f also needs$lib, which a bare machine may lack" >&2
    done
    cp "$root/models/verse-i2_s.gguf" "$folder/verse.gguf" || exit 2
}

# vector NAME WHAT COMMAND..: a result of the processor
vector() {
    local file=$folder/vectors/$1.$2
    shift 2
    "$@" >"$file" 2>"$work/log" && return
    cat "$work/log" >&2
    die "no results of the processor: $*"
}

prepare() {
    local name maker flags n m kib target=()
    [ -n "$build" ] || build_here
    copy_programs
    mkdir -p "$folder/vectors" || exit 2
    cpu=${TERN:-$root/build/tern}
    [ -x "$cpu" ] || cpu=$bin/tern
    case $("$cpu" --version) in *"no LLVM"*) target=(--target ref) ;; esac
    cases >"$folder/cases"
    while IFS='|' read -r name maker flags n; do
        m=$(model "$name" "$maker") || die "make_gguf failed for $name"
        # shellcheck disable=SC2086
        vector "$name" ids "$cpu" run "$m" "${greedy[@]}" -n "$n" $flags "${target[@]}"
        # shellcheck disable=SC2086
        vector "$name" logits "$cpu" logits "$m" --tokens $tokens $flags "${target[@]}" -o -
    done <"$folder/cases"
    m=$(model big "--shape $(big_shape) --seed 1") || die "make_gguf failed"
    vector big ids "$cpu" run "$m" "${greedy[@]}" -n $big_ids "${target[@]}"
    echo "small=$small" >"$folder/made"
    kib=$(du -sk "$folder" | cut -f1)
    [ "$kib" -le $((64 << 10)) ] || die "$folder has $kib KiB, expected at most 65536"
    echo "$folder: $kib KiB, $(wc -l <"$folder/cases") models and one in the shape $(big_shape)"
}

# --- on a machine with a GPU ----------------------------------------------------------------------------------

# quoted TEXT: as a JSON string
quoted() {
    local text
    text=$(tr -d '\000-\010\013-\037' <<<"$1" | sed 's/\\/\\\\/g; s/"/\\"/g; s/\t/ /g' | tr '\n' ' ')
    printf '"%s"' "${text% }"
}
now() { date +%s%N; }
since() { # seconds since the time $1
    local ms=$((($(now) - $1) / 1000000))
    printf '%d.%03d' $((ms / 1000)) $((ms % 1000))
}
bad=0
# limited SECONDS COMMAND..: within the step's limit and what is left of all. What the command says goes to the log.
limited() {
    local most=$1 left=$((seconds - ($(now) - begin) / 1000000000))
    shift
    [ "$most" -le "$left" ] || most=$left
    [ "$most" -gt 0 ] || return 124
    echo "+ $*" >>"$log"
    timeout -k 5 "$most" "$@" 2>>"$log"
}
# left STEP-END: seconds until then, at least 0
left() {
    local s=$((($1 - $(now)) / 1000000000))
    echo $((s > 0 ? s : 0))
}
until_in() { echo $(($(now) + $1 * 1000000000)); }
said() { quoted "$(grep -v '^+ ' "$log" | tail -1)"; }

step_check() {
    local start rc
    start=$(now)
    limited 90 "$bin/tern" devices --check --device "$device" >"$out/1-check.txt"
    rc=$?
    awk -v rc="$rc" -v s="$(since "$start")" '
        function str(t) { gsub(/\\/, "\\\\", t); gsub(/"/, "\\\"", t); return "\"" t "\"" }
        NR == 1 { next }
        / instructions, [0-9]+ differ(, [0-9]+ not tried)?$/ { sum = $0; next }
        { rows++ }
        / ok$/ { next }
        NF { name = $1; sub(/^[^ ]+ +/, ""); print "{\"row\":" str(name) ",\"result\":" str($0) "}"; wrong++ }
        END { printf "{\"step\":\"check\",\"exit\":%d,\"seconds\":%s,\"rows\":%d,\"not_ok\":%d,\"sum\":%s}\n", rc, s, rows, wrong, str(sum) }
    ' "$out/1-check.txt" >"$out/1-check.json"
    [ "$rc" = 0 ] || echo "{\"said\":$(said)}" >>"$out/1-check.json"
    return $rc
}

# same NAME WHAT FILE RC START: a line about a file that is compared with the processor's
same() {
    local equal=false different=0
    if [ "$4" = 0 ] && cmp -s "$folder/vectors/$1.$2" "$3"; then equal=true; else different=1; fi
    printf '{"model":"%s","what":"%s","equal":%s,"exit":%d,"seconds":%s' "$1" "$2" $equal "$4" "$(since "$5")"
    [ $equal = true ] || printf ',"bytes_different":%d,"said":%s' "$(cmp -l "$folder/vectors/$1.$2" "$3" 2>/dev/null | wc -l)" "$(said)"
    printf '}\n'
    return $different
}

# timed END NAME COMMAND..: a line with the exit status and the seconds; standard output goes to $work/got
timed() {
    local end=$1 name=$2 start rc
    shift 2
    start=$(now)
    limited "$(left "$end")" "$@" >"$work/got"
    rc=$?
    printf '{"what":"%s","exit":%d,"seconds":%s' "$name" $rc "$(since "$start")"
    [ $rc = 0 ] || printf ',"said":%s,"printed":%s' "$(said)" "$(quoted "$(head -c 2000 "$work/got")")"
    printf '}\n'
    return $rc
}

step_equal() {
    local end name maker flags n m start wrong=0
    end=$(until_in 100)
    while IFS='|' read -r name maker flags n; do
        m=$(model "$name" "$maker" 2>>"$log") || { wrong=1 && echo "{\"model\":\"$name\",\"what\":\"made\",\"equal\":false}"; continue; }
        start=$(now)
        # shellcheck disable=SC2086
        limited "$(left "$end")" "$bin/tern" run "$m" "${greedy[@]}" -n "$n" --device "$device" $flags >"$work/ids" </dev/null
        same "$name" ids "$work/ids" $? "$start" || wrong=1
        start=$(now)
        # shellcheck disable=SC2086
        limited "$(left "$end")" "$bin/tern" logits "$m" --tokens $tokens --device "$device" $flags -o "$work/logits" </dev/null
        same "$name" logits "$work/logits" $? "$start" || wrong=1
        rm -f "$work/ids" "$work/logits"
        case $small-$name in no-verse | *-tiny-*) ;; *) continue ;; esac
        # rows of a step from 1 to more than 8, launch by launch, compared with the evaluator
        # shellcheck disable=SC2086
        timed "$end" "verify $name" "$bin/tern" verify "$m" --tokens $tokens --device "$device" $flags </dev/null || wrong=1
    done <"$folder/cases" >"$out/2-equal.json"
    return $wrong
}

speed() { # speed END NAME FLAGS..: tern bench's own JSON in a line
    local end=$1 name=$2
    shift 2
    timed "$end" "$name" "$bin/tern" bench "$work/big.tern" --device "$device" --read-mib 0 -o json "$@" || return 1
    printf '{"bench":"%s","result":%s}\n' "$name" "$(tr -s '\n ' ' ' <"$work/got")"
}
all_speeds() {
    local end=$1 wrong=0 start rc p=512 n=128 r=5
    [ $small = no ] || { p=8 && n=2 && r=1; }
    timed "$end" make "$bin/make_gguf" --shape "$(big_shape)" --seed 1 -o "$work/big.gguf" || return 1
    timed "$end" compile "$bin/tern" compile "$work/big.gguf" --levels sm_80,sm_90a --kv f16 -o "$work/big.tern" || return 1
    rm -f "$work/big.gguf"
    start=$(now)
    limited "$(left "$end")" "$bin/tern" run "$work/big.tern" "${greedy[@]}" -n $big_ids --device "$device" >"$work/ids"
    rc=$?
    same big ids "$work/ids" $rc "$start" || wrong=1
    speed "$end" decode -p 0 -n $n -r $r || wrong=1
    speed "$end" prefill -p $p -n 0 -r $r || wrong=1
    [ $small = no ] || return $wrong
    speed "$end" deep -p 0 -n 64 -d 2048 -r 2 || wrong=1
    speed "$end" eight -p 0 -n 64 -b 8 -r 2 || wrong=1
    timed "$end" profile "$bin/tern" bench "$work/big.tern" --device "$device" --read-mib 0 -p 512 -n 32 -r 1 --profile || wrong=1
    cat "$work/got" >>"$log"
    return $wrong
}
step_speed() { all_speeds "$(until_in 190)" >"$out/3-speed.json"; }

step_probe() {
    local flag=() rc
    [ $small = no ] || flag=(--small)
    limited 80 "$bin/bench_cuda_probe" --device "$device" "${flag[@]}" >"$out/4-probe.json"
    rc=$?
    [ $rc = 0 ] || echo "{\"exit\":$rc,\"said\":$(said)}" >>"$out/4-probe.json"
    return $rc
}

step_sanitizer() {
    local program tool end rc start wrong=0
    end=$(until_in 60)
    program=$(PATH=$PATH:${CUDA_HOME:-/usr/local/cuda}/bin:/usr/local/cuda/bin command -v compute-sanitizer)
    [ -n "$program" ] || { echo '{"skipped":"there is no compute-sanitizer"}' && return 0; }
    for tool in memcheck racecheck; do
        start=$(now)
        limited "$(left "$end")" "$program" --tool $tool --error-exitcode 9 "$bin/tern" run "$folder/verse.gguf" \
            "${greedy[@]}" -n 2 --device "$device" >"$work/got"
        rc=$?
        cat "$work/got" >>"$log"
        printf '{"tool":"%s","exit":%d,"seconds":%s,"sum":%s}\n' $tool $rc "$(since "$start")" "$(quoted "$(grep -h 'SUMMARY' "$work/got" | tail -1)")"
        [ $rc = 0 ] || wrong=1
    done
    return $wrong
}

# --- main -----------------------------------------------------------------------------------------------------

bin=$folder/bin
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
if [ $prepare = yes ]; then
    mkdir -p "$folder" && folder=$(readlink -f "$folder") && bin=$folder/bin
    prepare
    exit
fi
[ -e "$folder/made" ] || die "$folder is not prepared: run $self --prepare there, on any machine"
small=$(sed -n 's/^small=//p' "$folder/made")
out=${out:-$folder/out}
mkdir -p "$out" || exit 2
out=$(readlink -f "$out")
log=$out/log.txt
begin=$(now)
# the driver keeps what it compiles: several programs run the same text, and a home folder may be missing
export CUDA_CACHE_PATH=$work/cache
{
    date -u
    uname -srm
    timeout 20 nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,clocks.max.mem,power.limit,ecc.mode.current --format=csv,noheader
    "$bin/tern" --version
} >"$log" 2>&1
for step in check equal speed probe; do
    start=$(now)
    "step_$step" || { bad=1 && verdict=no; }
    echo "$step: ${verdict:-ok}, $(since "$start") s"
    unset verdict
done
start=$(now)
step_sanitizer >"$out/5-sanitizer.json" || { bad=1 && verdict=no; }
echo "sanitizer: ${verdict:-ok}, $(since "$start") s; all in $out"
exit $bad
