# Threads by default under a container's quota of processor time. A file system of the test's own, in a mount namespace
# of its own, stands where the groups' files are; what they may hold is tests/base/test_cpus.c's.
# shellcheck shell=bash disable=SC2154,SC2086,SC2034
point=$(awk '$0 ~ / - cgroup2? / && ($0 ~ / - cgroup2 / || $NF ~ /(^|,)cpu(,|$)/) {print $5; exit}' /proc/self/mountinfo)
cpus=$(python3 -c 'import os; print(len(os.sched_getaffinity(0)))')
quota=yes # the line is not left out of $err
# limited QUOTA PERIOD COMMAND..: the command in a group with that quota, as v1 and v2 write it
limited=$dir/limited
cat >"$limited" <<'SH'
#!/bin/sh
# POINT QUOTA PERIOD COMMAND..
[ "$2" = max ] && v1=-1 || v1=$2
mount -t tmpfs none "$1" && echo "$2 $3" >"$1/cpu.max" && echo "$v1" >"$1/cpu.cfs_quota_us" &&
    echo "$3" >"$1/cpu.cfs_period_us" || exit 99
shift 3
exec "$@"
SH
limited=(unshare -m sh "$limited" "$point")
if [ -z "$point" ] || ! "${limited[@]}" 1000 100000 true 2>/dev/null; then
    echo "09-quota: skipped: no control groups here, or no mounts of our own"
elif [ "$cpus" -lt 2 ]; then
    echo "09-quota: skipped: one processor"
else
    first() { head -1 <<<"$err"; }
    tokens="--tokens 1,2,3 -n 2 --temp 0"
    try "${limited[@]}" 50000 100000 "$tern" run "$model" $tokens $how
    same "run, half a processor" "$(first)" "tern: 1 thread: the CPU quota is 0.5 of $cpus processors"
    has "run, half a processor: threads" "$err" ", 1 threads"
    try "${limited[@]}" max 100000 "$tern" run "$model" $tokens $how
    hasnt "run, no quota" "$err" "quota"
    has "run, no quota: threads" "$err" ", $cpus threads"
    try "${limited[@]}" $((cpus * 100000)) 100000 "$tern" run "$model" $tokens $how
    hasnt "run, a quota of all processors" "$err" "quota"
    try "${limited[@]}" $((cpus * 100000 - 50000)) 100000 "$tern" run "$model" $tokens $how
    hasnt "run, a quota that is rounded up to all" "$err" "quota"
    has "run, a quota that is rounded up to all: threads" "$err" ", $cpus threads"
    try "${limited[@]}" 50000 100000 "$tern" run "$model" $tokens $how -t 2
    hasnt "run -t 2: asked for" "$err" "quota"
    has "run -t 2: threads" "$err" ", 2 threads"
    try "${limited[@]}" 50000 100000 "$tern" run -n 1 --temp 0 $how
    same "run without a model: the first line" "$(first)" "tern: 1 thread: the CPU quota is 0.5 of $cpus processors"
    try "${limited[@]}" 150000 100000 taskset -c "$(python3 -c 'import os; print(min(os.sched_getaffinity(0)))')" "$tern" run "$model" $tokens $how
    hasnt "run, fewer processors than the quota" "$err" "quota"
    has "run, fewer processors than the quota: threads" "$err" ", 1 threads"
    try "${limited[@]}" 20000 100000 "$tern" perplexity "$model" --tokens 1,2,3 $how
    same "perplexity" "$(first)" "tern: 1 thread: the CPU quota is 0.2 of $cpus processors"
    try "${limited[@]}" 20000 100000 "$tern" logits "$model" --tokens 1,2,3 -o "$dir/l" $how
    same "logits" "$(first)" "tern: 1 thread: the CPU quota is 0.2 of $cpus processors"
    # refused as ever: one line
    refused "run, refused" 1 "^tern: error: -c: 100000 positions" "${limited[@]}" 20000 100000 "$tern" run "$model" $tokens -c 100000 $how
    if [ $native = yes ]; then
        try "${limited[@]}" 20000 100000 "$tern" bench "$model" -p 4 -n 0 -r 1 --read-mib 0 -o csv
        same "bench" "$(first)" "tern: 1 thread: the CPU quota is 0.2 of $cpus processors"
        same "bench: threads" "$(python3 -c 'import csv, sys; print([r["n_threads"] for r in csv.DictReader(open(sys.argv[1]))])' "$dir/out")" "['1']"
        try "${limited[@]}" 20000 100000 "$tern" compile "$model" --tune=0.1 --tune-cache "$dir/tune" --kv f16 -o "$dir/m.tern"
        same "compile --tune" "$(first)" "tern: 1 thread: the CPU quota is 0.2 of $cpus processors"
        has "compile --tune: threads" "$err" ", 1 thread, "
    fi
fi
quota=""
