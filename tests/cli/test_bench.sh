#!/usr/bin/env bash
# tern bench: its rows, its three formats, what it prints about the machine, and the exact lines of its refusals; --against and
# what it makes of earlier rows; --huge.
set -u
. "$(dirname "$0")/program.sh"
need_native
command -v python3 >/dev/null || { echo "skipped: no python3 to read json and csv with" && exit 77; }
usage() { # usage WHAT FLAG... : the line on standard error
    local want=$1
    shift
    run 2 bench "$model" "$@"
    is "tern bench $*" "$err" "tern bench: $want (see tern bench --help)"
    is "nothing on standard output" "$out" ""
}

usage "-o: 'xml', expected md, json or csv" -o xml
usage "-t: 0, expected 1 to 1024" -t 1,0
usage "-b: 0, expected 1 to 65536" -b 0
usage "-d: 'deep', expected a comma list of whole numbers" -d deep
usage "-pg: '8', expected PROMPT,GEN, both at least 1" -pg 8
usage "-pg: '8,0', expected PROMPT,GEN, both at least 1" -pg 8,0
usage "-pg: '8,1,2', expected PROMPT,GEN, both at least 1" -pg 8,1,2
usage "-pg: 'a,b', expected a comma list of whole numbers" -pg a,b
usage "-r: '0', expected a whole number from 1 to 100" -r 0
usage "--warm-ups: '-1', expected a whole number from 0 to 100" --warm-ups -1
usage "'--no-warmup': here it is --warm-ups" --no-warmup
usage "--fail-below goes with --against" --fail-below 0.9
usage "--fail-below: 'half', expected a number from 0 to 100" --fail-below half
usage "-r: got 4, expected at least 5 with --against: fewer do not tell the noise" -r 4 --against "$dir/none"
usage "--read-mib: '-1', expected a whole number from 0 to 1048576" --read-mib -1

run 0 compile "$model" -o "$dir/m.tern" --kv f16
run 1 bench "$dir/m.tern" -p 2000 -n 0 --read-mib 0
is "too long" "$err" "tern: error: pp2000 needs 2000 positions, but the model has 1024"
run 1 bench "$dir/m.tern" -p 0 -n 8 -d 1020 --read-mib 0
is "too deep" "$err" "tern: error: tg8 @ d1020 needs 1028 positions, but the model has 1024"
run 1 bench "$dir/m.tern" -p 0 -n 8 -b 600 --read-mib 0
is "too many sequences" "$err" \
    "tern: error: tg8 x600 decodes 600 sequences together, but a step has at most 512 rows"
run 1 bench "$dir/m.tern" -p 8 -n 8 --read-mib 0 --kv f32
is "a cache type without code" "$err" "tern: error: $dir/m.tern: was not compiled for kv f32; its cache types are: f16"

# the grid: depths x (prompts, batches x (lengths, pairs)); a 0 is no test
run 0 bench "$dir/m.tern" -p 0,16 -n 4 -pg 16,4 -d 0,32 -b 1,3 -r 3 -t 1 --read-mib 16
is "the tests" "$(awk -F'|' 'NR > 2 && /^\|/ {print $7}' "$dir/out" | tr -d ' ' | tr '\n' ' ')" \
    "pp16 tg4 pp16+tg4 tg4x3 pp16+tg4x3 pp16@d32 tg4@d32 pp16+tg4@d32 tg4x3@d32 pp16+tg4x3@d32 "
for line in "t/s: median ± standard deviation of 3" "p95: t/s that 95 % of them reach; "* "cpu: "*", $(nproc) processor"* "read: "*" GB/s, 1 threads, 16 MiB in small pages (plain "*")" \
    "int8: "*" GOPS, 1 threads, "* "f32: "*" GOPS, 1 threads, "* "build: tern "*; do
    found=no
    while read -r got; do
        # shellcheck disable=SC2254
        case $got in $line) found=yes ;; esac
    done <"$dir/out"
    checks=$((checks + 1))
    [ $found = yes ] || no "no line '$line' in the footer"
done
# without the flag, as much as is free, up to a GiB; it takes seconds, so this is the one test that asks for it
run 0 bench "$dir/m.tern" -p 8 -n 0 -r 1 -t 1
grep -qE '^read: .* GB/s, 1 threads, [1-9][0-9]* MiB in small pages ' "$dir/out" || no "reading is not measured: $out"
run 0 bench "$dir/m.tern" -p 16 -n 0 -r 1 -t 1 --read-mib 0
case $out in *"read: "* | *"int8: "* | *"f32: "*) no "--read-mib 0 measures the machine: $out" ;; esac

run 0 bench "$model" -p 0 -n 2 -r 1 -t 1 --read-mib 0 --kv i8 -o csv
case $out in *",1,i8,tg2,0,2,0,1,"*) ;; *) no "the cache type is not told: $out" ;; esac

# json and csv agree on each row, and the sums add up
flags="-p 16 -n 4 -d 32 -b 2 -r 5 -t 1,2 --read-mib 16"
# shellcheck disable=SC2086
run 0 bench "$dir/m.tern" $flags -o json
cp "$dir/out" "$dir/json"
# shellcheck disable=SC2086
run 0 bench "$dir/m.tern" $flags -o csv
cp "$dir/out" "$dir/csv"
python3 - "$dir/json" "$dir/csv" <<'PY' || no "json and csv"
import csv, json, statistics, sys
rows = json.load(open(sys.argv[1]))
table = list(csv.DictReader(open(sys.argv[2])))
def check(ok, what):
    if not ok:
        sys.exit("wrong: %s" % what)
check([r["test"] for r in rows] == ["pp16 @ d32", "tg4 x2 @ d32"] * 2, [r["test"] for r in rows])
check([r["test"] for r in table] == [r["test"] for r in rows], "csv rows")
check([r["n_threads"] for r in rows] == [1, 1, 2, 2], "threads")
for r, c in zip(rows, table):
    s = r["samples_ts"]
    check(len(s) == 5 and min(s) > 0, "samples")
    firsts = r["samples_first_s"]
    check(abs(statistics.median(firsts) * 1e3 - r["first_ms"]) < 1e-6 * r["first_ms"], "first")
    n = (r["n_prompt"] + r["n_gen"]) * r["n_seq"]
    for ts, first in zip(s, firsts):
        check(0 < first <= n / ts * 1.0001, "a first token after the run's end")
    check(r["n_prompt"] == 0 or max(f * t for f, t in zip(firsts, s)) > 0.5 * n, "the first token ends a prompt")
    check(abs(sorted(s)[0] + 0.2 * (sorted(s)[1] - sorted(s)[0]) - r["p95_ts"]) < 1e-6 * r["p95_ts"], "p95")
    check(r["peak_bytes"] == 0 or 2e6 < r["peak_bytes"] < 1e9, "peak %d" % r["peak_bytes"])
    check(r["cpu_info"] and r["cpu_info"] == c["cpu_info"] and r["n_cpus"] == int(c["n_cpus"]) >= 1, "cpu")
    check(abs(float(c["p95_ts"]) - r["p95_ts"]) >= 0 and float(c["first_ms"]) > 0, "csv p95")
    check(abs(statistics.median(s) - r["median_ts"]) < 1e-6 * r["median_ts"], "median")
    check(abs(statistics.stdev(s) - r["stddev_ts"]) < 1e-6 * r["avg_ts"], "stddev")
    check(r["min_ts"] == min(s) and r["max_ts"] == max(s), "least and most")
    check(r["read_plain"] > 0 and r["read_prefetching"] > 0 and r["int8_ops"] > 0, "the machine")
    check(r["read_bytes"] == 16 << 20 and r["type_kv"] == "f16", "facts")
    # 4.7 M ternary parameters at 2 bits and a head of 1792 x 256; every weight is used once per row
    decode = r["n_gen"] > 0
    steps = r["n_gen"] if decode else 1
    check(1.9e6 * steps < r["bytes"] < 2.6e6 * steps, "bytes %g" % r["bytes"])
    tokens = 8 if decode else 16
    check(4.5e6 < r["macs"] / tokens < 6e6, "macs %g" % r["macs"])
    # attention: 6 layers of 4 heads of 64, a score and a weighted value for each position, at the rate of f32
    positions = sum(32 + i + 1 for i in range(r["n_gen"] or r["n_prompt"])) * r["n_seq"]
    check(r["float_macs"] == positions * 6 * 2 * 256, "float_macs %g" % r["float_macs"])
    floor = max(r["bytes"] / max(r["read_plain"], r["read_prefetching"]),
                2 * r["macs"] / r["int8_ops"] + 2 * r["float_macs"] / r["f32_ops"])
    check(abs(tokens / floor / r["floor_ts"] - 1) < 0.01, "floor")
    check(abs(r["median_ts"] / r["floor_ts"] - r["floor_share"]) < 1e-6, "share")
    check(r["floor_bound"] in ("read", "int8", "f32"), "bound")
    for key in ("n_prompt", "n_gen", "n_depth", "n_seq", "n_threads"):
        check(int(c[key]) == r[key], key)
    for key in ("bytes", "macs", "float_macs"):
        check(abs(float(c[key]) - r[key]) < 1, key)
    check(float(c["median_ts"]) > 0 and float(c["floor_ts"]) > 0, "csv numbers")
PY
checks=$((checks + 1))

# the peak is the test's own: not that of the program which became tern, nor what --profile fills to measure the memory's rate
small=("$dir/m.tern" -p 16 -n 0 -r 1 -t 1 --read-mib 0 -o json)
run 0 bench "${small[@]}"
cp "$dir/out" "$dir/plain.json"
python3 -c 'import os, sys
held = b"1" * (600 << 20)
os.execv(sys.argv[1], sys.argv[1:])' "$tern" bench "${small[@]}" >"$dir/held.json" 2>"$dir/err" || no "tern bench, executed by a large program: $(cat "$dir/err")"
run 0 bench "${small[@]}" --profile
cp "$dir/out" "$dir/profiled.json"
python3 - "$dir/plain.json" "$dir/held.json" "$dir/profiled.json" <<'PY' || no "the peak"
import json, sys
plain, held, profiled = [json.load(open(f))[0]["peak_bytes"] for f in sys.argv[1:]]
if plain == 0:
    print("skipped: the peak of resident memory, which the system does not set back")
    sys.exit(0)
if not (held < 2 * plain and profiled < 2 * plain):
    sys.exit("wrong: peak %d, %d from a large program, %d with --profile" % (plain, held, profiled))
PY
checks=$((checks + 1))

# --against: rows are met by test, threads and model; a ratio fails beyond its noise and below the limit alone. $dir/json is made
# 10^7 times as fast as it was, and as slow, with runs that are alike: five runs of this machine do not differ so much that their noise
# is more than that.
edit() { # edit FILE CODE: python on `rows`, the json's
    python3 -c 'import json, sys
rows = json.load(open(sys.argv[1]))
exec(sys.argv[3])
json.dump(rows, open(sys.argv[2], "w"))' "$dir/json" "$1" "$2"
}
scale() { echo "for r in rows: r['samples_ts'] = [r['samples_ts'][0] * $1] * 5"; }
gate=(bench "$dir/m.tern" -p 16 -n 4 -d 32 -b 2 -t 1 --read-mib 0)
edit "$dir/slow.json" "$(scale 1e-7)"
run 0 "${gate[@]}" -r 5 --against "$dir/slow.json"
is "two rows met" "$(grep -cE '^\| +(pp16 @ d32|tg4 x2 @ d32) \| +1 \| .* ± .* \| +- \| faster +\|$' "$dir/out")" 2
is "the rest is named" "$(grep '^only in' "$dir/out")" "only in $dir/slow.json: pp16 @ d32, 2 threads, verse
only in $dir/slow.json: tg4 x2 @ d32, 2 threads, verse"
edit "$dir/fast.json" "$(scale 1e7)"
run 1 "${gate[@]}" -r 5 --against "$dir/fast.json"
is "both fail" "$err" "tern: error: 2 of the tests are slower than 0.95 times $dir/fast.json, by more than the noise"
is "they say so" "$(grep -c ' ± .*| FAILS ' "$dir/out")" 2
run 0 "${gate[@]}" -r 5 --against "$dir/fast.json" --fail-below 0
is "slower, and allowed" "$(grep -c ' ± .*| slower ' "$dir/out")" 2
edit "$dir/noisy.json" "for r in rows: x = r['samples_ts'][0]; r['samples_ts'] = [x] * 5 + [x * 1e6]"
run 0 "${gate[@]}" -r 5 --against "$dir/noisy.json"
is "the noise is more than the gate allows" "$(grep -c ' ± .*| cannot tell  |' "$dir/out")" 2
is "it says so" "$(tail -1 "$dir/out")" \
    "cannot tell: the noise of 2 of the tests is more than 0.95 times allows; more runs (-r) or a quieter machine make it less"
run 0 "${gate[@]}" -r 5 --against "$dir/noisy.json" --fail-below 0
is "a gate that allows everything can tell" "$(grep -c ' ± .*| within noise |' "$dir/out")" 2
grep -q "cannot tell" "$dir/out" && no "what cannot be told with --fail-below 0: $out"
edit "$dir/one.json" "$(scale 1e7); rows = [r for r in rows if r['test'] == 'pp16 @ d32' and r['n_threads'] == 1]
rows[0].update(cpu_info='Another', backend='another', type_kv='f32')"
run 1 "${gate[@]}" -r 5 --against "$dir/one.json" -o json
is "one fails" "$(tail -1 "$dir/err")" "tern: error: 1 of the tests is slower than 0.95 times $dir/one.json, by more than the noise"
python3 -c 'import json, sys; assert len(json.load(open(sys.argv[1]))) == 2' "$dir/out" || no "json with --against is not whole"
grep -qF "not in $dir/one.json: tg4 x2 @ d32, 1 threads" "$dir/err" || no "a test that is not there is not named: $err"
for line in "$dir/one.json: cpu Another then, " "pp16 @ d32: backend another then, " "pp16 @ d32: cache f32 then, f16 now"; do
    grep -qF "$line" "$dir/err" || no "no line '$line': $err"
done
gone() { # gone LINE CODE: the file is refused before anything is measured
    edit "$dir/bad.json" "$2"
    run 1 "${gate[@]}" --against "$dir/bad.json"
    is "against a bad file" "$err" "tern: error: $dir/bad.json: $1"
    is "nothing is printed" "$out" ""
}
gone "no row is of these tests, threads and model, such as pp16 @ d32, 1 threads, verse" "for r in rows: r['n_threads'] += 7"
gone "no row is of these tests, threads and model, such as pp16 @ d32, 1 threads, verse" "for r in rows: r['model'] = 'x'"
gone "got an empty list, expected a list of rows, as tern bench -o json writes" "rows = []"
gone "got no list, expected a list of rows, as tern bench -o json writes" "rows = {'a': 1}"
gone "row 1: got no test, expected a row of tern bench -o json" "rows = [7]"
gone "row 2: got no model, expected a row of tern bench -o json" "del rows[1]['model']"
gone "row 3: got no n_threads, expected a row of tern bench -o json" "rows[2]['n_threads'] = '2'"
for n in 0 4 101 250; do
    gone "row 1: got $n speeds in samples_ts, expected 5 to 100, as tern bench -o json -r 5 writes" "rows[0]['samples_ts'] = [1] * $n"
done
for bad in 0 -2 1e13 1e-13 1e300 "'7'" None; do
    gone "row 1: speed 2 in samples_ts is no number from 1e-12 to 1e+12" "rows[0]['samples_ts'] = [1, $bad, 3, 4, 5]"
done
gone "got 4097 rows, expected at most 4096" "rows = [{}] * 4097"
gone "rows 1 and 3 are both of pp16 @ d32, 1 threads, expected one" "rows[2]['n_threads'] = 1"
echo '[{"test": ' >"$dir/bad.json"
run 1 "${gate[@]}" --against "$dir/bad.json"
case $err in "tern: error: $dir/bad.json: line "*", expected what tern bench -o json writes") ;; *) no "not json: $err" ;; esac
run 1 "${gate[@]}" --against "$dir/m.tern"
case $err in "tern: error: $dir/m.tern: "*) ;; *) no "a blob is no json: $err" ;; esac
run 1 "${gate[@]}" --against "$dir/none.json"
case $err in "tern: error: "*"$dir/none.json"*) ;; *) no "no such file: $err" ;; esac

# Twice as many workers as processors: it runs. tests/runtime/test_pool.c tests that workers do not spin while others need
# the processor.
cpus=$(nproc)
if [ "$cpus" -le 64 ]; then
    run 0 bench "$dir/m.tern" -p 0 -n 8 -r 2 -t "$cpus,$((2 * cpus))" --read-mib 0 -o json
    is "threads" "$(python3 -c 'import json, sys; print(*[r["n_threads"] for r in json.load(open(sys.argv[1]))])' "$dir/out")" "$cpus $((2 * cpus))"
fi

# --huge: always reported, with the same ids
run 0 run "$dir/m.tern" --tokens 1789,978,1530,317 --temp 0 -n 8 --print-tokens
want=$out
for check in "" --no-check; do
    # shellcheck disable=SC2086
    run 0 run "$dir/m.tern" --tokens 1789,978,1530,317 --temp 0 -n 8 --print-tokens --huge $check
    is "ids with --huge $check" "$out" "$want"
    case $err in
    "tern: 0.0 MB of 2."*" MB of weights are in huge pages: the system gives none (/sys/kernel/mm/transparent_hugepage/enabled)"*) ;;
    "tern: "*" MB of 2."*" MB of weights are in huge pages"*) ;;
    *) no "--huge says nothing: $err" ;;
    esac
done
cp "$dir/m.tern" "$dir/bad.tern"
python3 -c 'import sys; f = open(sys.argv[1], "r+b"); f.seek(-1, 2); f.write(b"\x5a")' "$dir/bad.tern"
for huge in "" --huge; do
    # shellcheck disable=SC2086
    run 1 run "$dir/bad.tern" --tokens 1,2 -n 1 $huge
    case $err in "tern: error: $dir/bad.tern: section WGHT: the hash of chunk 0 of 1 is "*", expected "*) ;; *)
        no "damaged weights, $huge: $err" ;;
    esac
done
run 0 bench "$dir/m.tern" --huge -p 8 -n 0 -r 1 -t 1 --read-mib 16
case $err in *"MB of weights are in huge pages"*) ;; *) no "bench --huge says nothing: $err" ;; esac
run 0 run "$dir/m.tern" --tokens 1,2 -n 1
case $err in *"huge pages"*) no "huge pages without --huge: $err" ;; esac

finish bench
