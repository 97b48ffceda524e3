#!/usr/bin/env bash
# tern bench --profile --simulate: its refusals, and its tables, worked out again from what the profile's json holds.
set -u
. "$(dirname "$0")/program.sh"
need_native
command -v python3 >/dev/null || { echo "skipped: no python3 to work the tables out with" && exit 77; }
usage() { # usage WHAT FLAG... : the line on standard error
    local want=$1
    shift
    run 2 bench "$model" -t 2 "$@"
    is "tern bench $*" "$err" "tern bench: $want (see tern bench --help)"
}
usage "--simulate goes with --profile" --simulate 4
usage "--sockets goes with --simulate" --profile --sockets 8,50
usage "--simulate: 0, expected 1 to 1024" --profile --simulate 4,0
usage "--simulate: 'many', expected a comma list of whole numbers" --profile --simulate many
usage "--sockets: '8', expected CORES,GB/S, both at least 1" --profile --simulate 4 --sockets 8
usage "--sockets: '0,5', expected CORES,GB/S, both at least 1" --profile --simulate 4 --sockets 0,5
run 2 bench "$model" -t 1 --profile --simulate 4
is "one thread" "$err" "tern bench: --simulate: got tests of 1 thread, expected 2 or more, which wait for each other (see tern bench --help)"

run 0 compile "$model" -o "$dir/m.tern" --kv f16
run 0 bench "$dir/m.tern" -p 0 -n 12 -b 1,5 -t 1,2 -r 2 --read-mib 0 --profile="$dir/p.json" --simulate 1,2,7,64 --sockets 8,5
cp "$dir/err" "$dir/said"
is "tests of one thread are not simulated" "$(grep -c '^simulated: ' "$dir/said")" 2
python3 - "$dir/p.json" "$dir/said" <<'PY' || no "the tables"
import json, math, re, sys
tests = [t for t in json.load(open(sys.argv[1]))["tests"] if t["threads"] == 2]
text = open(sys.argv[2]).read().split("\nsimulated: ")[1:]
CORES, RATE = 8, 5.0
def check(ok, what):
    if not ok:
        sys.exit("wrong: %s" % (what,))
def even(units, w):
    return units / (math.ceil(units / w) * w)
def rate(t, w, each):
    sockets = math.ceil(w / CORES) if each else 1
    return min(t["read_gb_s"] / 2 * w, sockets * RATE) * 1e9
def call(t, k, w, each):
    units = k["units"] / k["calls"]
    unit = sum(k["busy_seconds"]) / k["units"]
    memory = k["bytes"] / k["calls"] / rate(t, w, each)
    ns = max(math.ceil(units / w) * unit, memory)
    return ns, ns - max(units / w * unit, memory)
def near(a, b, by):
    return abs(a - b) <= by
variants = [(t, v) for t in tests for v in t["variants"]]
check(len(variants) == len(text) == 2, [len(variants), len(text)])
for (t, v), said in zip(variants, text):
    ran = [k for k in v["kernels"] if k["calls"]]
    calls = sum(k["calls"] for k in ran)
    check(v["workers"] == 2 and all(k["units"] >= k["calls"] for k in ran), "units")
    rows = {int(m[1]): [float(x) for x in m.groups()[1:]] for m in
            re.finditer(r"^ +(\d+) +([\d.]+) +([\d.]+)x +([\d.]+) +([\d.]+)x +([\d.]+)%$", said, re.M)}
    check(sorted(rows) == [1, 2, 7, 64], sorted(rows))
    steps = {}
    for w in rows:
        for each in (0, 1):
            barrier = v["wait_seconds"] / calls * math.log2(w)
            s = (v["start_seconds"] + v["rest_seconds"] + sum(k["calls"] * (call(t, k, w, each)[0] + barrier) for k in ran)) / v["runs"]
            steps[w, each] = s
            check(near(rows[w][2 * each], s * 1e3, 0.0011), (w, each, rows[w], s * 1e3))
            check(near(rows[w][2 * each + 1], v["step_seconds"] / v["runs"] / s, 0.011), (w, each))
        check(near(rows[w][4], 100 * calls * v["wait_seconds"] / calls * math.log2(w) / v["runs"] / steps[w, 1], 0.11), "barriers")
    check(steps[64, 1] <= steps[64, 0], "a copy in each socket is slower")
    starving = re.findall(r"^ +([\d.]+)% +([\d.]+) +(\d+)% +(\S+) +(\S+) +(\S+)  (\w+)", said.split("starving with 64 workers")[1], re.M)
    check(0 < len(starving) <= 8, starving)
    lost = [float(s[0]) for s in starving]
    check(lost == sorted(lost, reverse=True), lost)
    for _, units, busy, grain, better, then, name in starving:
        k = next(k for k in ran if k["name"] == name)
        u = k["units"] / k["calls"]
        check(near(float(units), u, 0.06) and near(int(busy), 100 * even(u, 64), 0.51), name)
        g = k.get("grain", 0)
        least = k.get("least_grain", 0)
        if re.search(r" [br]64\[", k["what"]):
            check(least % 64 == 0, (k["what"], least))
        if grain == "-":
            check(not any(even(math.ceil(u * g / x), 64) > even(u, 64) for x in range(least, g, least or 1)) or even(u, 64) >= 0.9, k)
            continue
        check(int(grain) == g and int(better) < g and int(better) % least == 0, (grain, better, least))
        now = even(math.ceil(u * g / int(better)), 64)
        check(near(int(then.rstrip("%")), 100 * now, 0.51) and now > even(u, 64), (name, then, now))
        best = max(even(math.ceil(u * g / x), 64) for x in range(least, g + 1, least))
        check(now >= 0.9 or near(now, best, 1e-9), (name, now, best))
PY
checks=$((checks + 1))
finish simulate
