"""tern batch: answers are the server's, each line is answered once, refusals have their error objects, and a batch that is killed
goes on where it was. TERN_BATCH=N: killed N times (default 10)."""
import fcntl, json, os, random, resource, signal, subprocess, sys, tempfile, time
from client import Server, check, finish, fixed, make_model, true

C, CHAT, E = "/v1/completions", "/v1/chat/completions", "/v1/embeddings"
USER = [{"role": "user", "content": "sun"}]
MOST = 20  # tries to catch a batch at work, which may have come to its end before


def line(custom, url, body, **more):
    return dict({"custom_id": custom, "method": "POST", "url": url, "body": body}, **more)


class Batch:
    def __init__(self, build, folder):
        self.build, self.folder, self.process = build, folder, None
        self.model, self.flags = make_model(build, folder)
        self.n = 0

    def write(self, lines):
        self.n += 1
        path = "%s/in%d.jsonl" % (self.folder, self.n)
        with open(path, "wb") as f:
            f.write(b"".join(x if isinstance(x, bytes) else json.dumps(x).encode() + b"\n" for x in lines))
        return path

    def start(self, source, to, *flags):
        command = [self.build + "/tern", "batch", self.model, source, "-o", to, "-c", "128", "--slots", "3"] + self.flags + list(flags)
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def run(self, source, to, *flags):
        """Exit status, and what it says."""
        p = self.start(source, to, *flags)
        said = p.communicate()[1]
        return p.returncode, said


def answers(path):
    with open(path) as f:
        text = f.read()
    true("whole lines", text == "" or text.endswith("\n"))
    return sorted((json.loads(x) for x in text.splitlines()), key=lambda a: int(a["id"][len("batch_req_"):]))


def plain(path):
    """Without what differs from one run to the next."""
    return [dict(a, response=a["response"] and dict(fixed(a["response"]), request_id=0)) for a in answers(path)]


def whole(b):
    bodies = [(C, {"prompt": "sun"}), (CHAT, {"messages": USER, "n": 5, "model": "m"}), (C, {"prompt": ["hi", "count"], "max_tokens": 3}),
              (E, {"input": ["sun", "hi"]}), ("/tokenize", {"content": "a"}),
              (CHAT, {"messages": [{"role": "user", "content": "json"}], "response_format": {"type": "json_object"}})]
    source, to = b.write([line("r%d" % i, *x) for i, x in enumerate(bodies)]), b.folder + "/whole"
    status, said = b.run(source, to, "--pooling", "mean")
    check("exit status", status, 0)
    true("what it says: " + said, said.endswith("/whole: 6 of 6 lines answered\n"))
    got = answers(to)
    with Server(b.build, "--slots", "1", "-c", "128", "--pooling", "mean") as s:
        for i, (url, body) in enumerate(bodies):
            check("members", sorted(got[i]), ["custom_id", "error", "id", "response"])
            check("ids", (got[i]["id"], got[i]["custom_id"], got[i]["error"]), ("batch_req_%d" % (i + 1), "r%d" % i, None))
            check("members of a response", sorted(got[i]["response"]), ["body", "request_id", "status_code"])
            check("the server's answer to %s" % body, fixed(got[i]["response"]["body"]), fixed(s.post(url, body)))
    before = open(to).read()
    check("again", b.run(source, to, "--pooling", "mean")[0], 0)
    check("nothing is done twice", open(to).read(), before)


def refusals(b):
    good, sun = line("g", C, {"prompt": "sun"}), {"prompt": "sun"}
    rows = [  # line, custom_id, whether a route took it, status, code, param
        (good, "g", True, 200, None, None),
        (line("a", C, {"prompt": "sun", "temperature": -1}), "a", True, 400, "invalid_value", "temperature"),
        (line("b", CHAT, {"messages": USER, "model": "gpt"}), "b", True, 404, "model_not_found", "model"),
        (line("c", "/v1/nothing", sun), "c", False, 404, "not_found", None),
        (line("d", "/health", sun), "d", False, 405, "method_not_allowed", None),
        (line("e", C, dict(sun, stream=True)), "e", False, 400, "unsupported_value", "body.stream"),
        (line("f", C, "sun"), "f", False, 400, "invalid_value", "body"),
        (line("h", C, sun, method="GET"), "h", False, 400, "invalid_value", "method"),
        (line("i", C, sun, priority=1), "i", False, 400, "unknown_parameter", "priority"),
        (line(7, C, sun), None, False, 400, "invalid_value", "custom_id"),
        ({"method": "POST", "url": C, "body": sun}, None, False, 400, "missing_parameter", "custom_id"),
        ({"custom_id": "j", "method": "POST", "body": sun}, "j", False, 400, "missing_parameter", "url"),
        ({"custom_id": "k", "method": "POST", "url": C}, "k", False, 400, "missing_parameter", "body"),
        ({"custom_id": "l", "url": C, "body": sun}, "l", False, 400, "invalid_value", "method"),
        (b"nonsense\n", None, False, 400, "invalid_json", None),
        (b"[1]\n", None, False, 400, "invalid_json", None),
        (b"\xff\x00\n", None, False, 400, "invalid_json", None),
        (b'{"a": ' + b"[" * 300 + b"\n", None, False, 400, "invalid_json", None),
        (b"\x00\n", None, False, 400, "invalid_json", None),
    ]
    source, to = b.write([r[0] for r in rows] + [b"\n", b" \t\r\n", json.dumps(good).encode()]), b.folder + "/refusals"
    status, said = b.run(source, to)
    check("exit status", status, 1)
    true("what it says: " + said, said.endswith("20 of 20 lines answered, 18 with an error\n"))
    for (sent, custom, routed, expected, code, param), a in zip(rows, answers(to)):
        error = a["response"]["body"].get("error") if routed else a["error"]
        check("custom_id of %s" % sent, a["custom_id"], custom)
        check("status of %s" % sent, a["response"]["status_code"] if routed else None, expected if routed else None)
        check("error of %s" % sent, error and (error["code"], error["param"], "\n" in error["message"]), code and (code, param, False))
    check("a last line without its end", answers(to)[-1]["id"], "batch_req_22")
    check("again", b.run(source, to), (1, said.replace(", 18", ", 20 of them before, 18")))
    source = b.write([good, b'"' + b"x" * (65 << 20) + b'"\n', good])
    check("a line that is too long", b.run(source, b.folder + "/long")[0], 1)
    check("its code, and the next line", [a["error"] and a["error"]["code"] for a in answers(b.folder + "/long")], [None, "line_too_long", None])


def files(b):
    source, to = b.write([line("a", C, {"prompt": "sun"})]), b.folder + "/files"
    other = b.write([line("b", C, {"prompt": "sun"})])
    check("an answer", b.run(source, to)[0], 0)
    answer = open(to).read()
    for text, why in ((answer + answer, ":2: got a second answer to a line"), (answer.replace("req_1", "req_2"), "that the input does not have"),
                      ("hello\n", ":1: got no answer of a batch"), ("hello", ":1: got no answer of a batch"), (answer + "{}\n", ":2: got no answer")):
        open(to, "w").write(text)
        status, said = b.run(source, to)
        true("%s: %s" % (text[:40], said), status == 1 and why in said)
        check("it stays", open(to).read(), text)
    open(to, "w").write(answer)
    status, said = b.run(other, to)
    true("answers of another batch: " + said, status == 1 and "with another custom_id" in said)
    for flags, why in ((["--shard", "0/2"], "--shard"), (["--shard", "3/2"], "--shard"), (["--shard", "1"], "--shard")):
        status, said = b.run(source, to, *flags)
        true("%s: %s" % (flags, said), status == 2 and why in said)
    status, said = b.run(source, source)
    true("over its input: " + said, status == 1 and open(source).read() == json.dumps(line("a", C, {"prompt": "sun"})) + "\n")
    check("a folder", b.run(b.folder, to)[0], 1)
    check("an input that is missing", b.run(b.folder + "/none", to)[0], 1)
    check("an empty one", b.run(b.write([]), b.folder + "/empty")[0], 0)
    if os.path.exists("/dev/full"):
        status, said = b.run(source, "/dev/full")
        true("a device: " + said, status == 1)


def fails(b):
    """The engine fails: lines are asked again, three times in a run, and by the next run."""
    source, to = b.write([line("a", C, {"prompt": "sun"}), line("b", C, {"prompt": "sun", "n": 0}), line("c", C, {"prompt": ["hi", "sun"]})]), b.folder + "/fails"
    check("a run", b.run(source, b.folder + "/sound")[0], 1)
    sound = plain(b.folder + "/sound")
    check("its statuses", [a["response"]["status_code"] for a in sound], [200, 400, 200])
    good = b.model
    b.model = b.folder + "/nan.gguf"
    subprocess.run([sys.executable, os.path.dirname(os.path.abspath(__file__)) + "/../support/gguf_edit.py", good, b.model, "tensor:output_norm.weight@0=nan"], check=True)
    begun = time.monotonic()
    status, said = b.run(source, to)
    true("asked three times: " + said, status == 1 and said.endswith("/fails: 3 of 3 lines answered, 3 with an error, 4 asked again\n"))
    true("with pauses", time.monotonic() - begun > 1.25)
    check("the last answer is kept", [(a["response"]["status_code"], a["response"]["body"]["error"]["code"]) for a in answers(to)],
          [(500, "engine_error"), (400, "invalid_value"), (500, "engine_error")])
    kept = open(to).read()
    b.model = good
    other = b.write([line("x", C, {"prompt": "sun"})] * 3)
    true("another batch", "with another custom_id" in b.run(other, to)[1])
    check("its file stays", open(to).read(), kept)
    status, said = b.run(source, to)
    true("the next run asks again: " + said, status == 1 and said.endswith("/fails: 3 of 3 lines answered, 1 of them before, 1 with an error, 2 asked again\n"))
    check("as if nothing had failed", plain(to), sound)
    check("nothing is left", sorted(x for x in os.listdir(b.folder) if x.startswith("fails")), ["fails"])
    os.chmod(to, 0o640)
    for status in (429, 503):
        text = open(to).read().splitlines(True)
        at = [i for i, x in enumerate(text) if '"c"' in x][0]
        text[at] = text[at].replace('"status_code": 200', '"status_code": %d' % status)
        open(to, "w").writelines(text)
        true("%d" % status, b.run(source, to)[1].endswith("1 asked again\n"))
        check("then", plain(to), sound)
    check("its mode stays", os.stat(to).st_mode & 0o777, 0o640)
    os.rename(to, b.folder + "/beside")
    os.rename(source, b.folder + "/beside.new")
    before = open(b.folder + "/beside.new").read()
    text = open(b.folder + "/beside").read()
    open(b.folder + "/beside", "w").write(text.replace('"status_code": 200', '"status_code": 500'))
    true("with a file of another name beside it", b.run(b.folder + "/beside.new", b.folder + "/beside")[1].endswith("2 asked again\n"))
    check("it stays", open(b.folder + "/beside.new").read(), before)
    check("and the answers come", plain(b.folder + "/beside"), sound)


def ends_while_lines_wait(b):
    """A signal while a line waits to be asked again: it is left to the next run."""
    source, to = b.write([line("a", C, {"prompt": "sun"}), line("c", C, {"prompt": ["hi", "sun"]})]), b.folder + "/waits"
    check("a run", b.run(source, b.folder + "/waits_not")[0], 0)
    good = b.model
    for pause in (0.1, 0.3, 0.6):
        b.model = b.folder + "/nan.gguf"
        for _ in range(MOST):
            p = b.start(source, to)
            while not os.path.exists(to):
                time.sleep(0.001)
            time.sleep(pause)
            p.send_signal(signal.SIGTERM)
            said = p.communicate()[1]
            if p.returncode != 1: # else it had come to its end, which takes it 1.25 seconds at least
                break
            os.remove(to)
        check("its end after %g: %s" % (pause, said), p.returncode, 128 + signal.SIGTERM)
        true("no answer is the end's", all(a["response"]["status_code"] == 500 for a in answers(to)))
        b.model = good
        check("the next run", b.run(source, to)[0], 0)
        check("as if nothing had been", plain(to), plain(b.folder + "/waits_not"))
        os.remove(to)


def stopped(b, source, to):
    """A batch that has counted its lines, and then was stopped, or has ended."""
    if os.path.exists(to):
        os.remove(to)
    p = b.start(source, to)
    while not os.path.exists(to):  # it is made when the lines have been counted
        time.sleep(0.001)
    p.send_signal(signal.SIGSTOP)
    return p


def grows(b):
    """A file of requests that grows after its lines were counted: by far more than what was counted has room for."""
    to, more = b.folder + "/grown", (json.dumps(line("later", C, {"prompt": "sun"})) + "\n") * 100000
    for _ in range(MOST):
        source = b.write([line("a", C, {"prompt": "count", "ignore_eos": True, "n": 6})] * 4)
        p = stopped(b, source, to)
        with open(source, "a") as f:
            f.write(more)
        p.send_signal(signal.SIGCONT)
        said = p.communicate()[1]
        if p.returncode or "has grown" in said:
            break
    check("exit status", p.returncode, 0)
    true("what it says: " + said, "/grown: 4 of 4 lines answered\ntern: " in said and ": has grown meanwhile, " in said)
    check("the lines that were there", [a["custom_id"] for a in answers(to)], ["a"] * 4)
    with open(source, "r+") as f:
        f.truncate(os.path.getsize(source) - len(more) * 99999 // 100000)
    check("the next run", b.run(source, to)[0], 0)
    check("answers what came", [a["custom_id"] for a in answers(to)], ["a"] * 4 + ["later"])


def shrinks(b):
    """A file of requests that loses lines that were counted: not all are answered, and the exit status says so."""
    rows = [json.dumps(line("x" * 70000, C, {"prompt": "count", "ignore_eos": True, "n": 3})).encode() + b"\n"] * 20
    to = b.folder + "/shrunk"
    for _ in range(MOST):
        source = b.write(rows)
        p = stopped(b, source, to)
        os.truncate(source, 18 * len(rows[0]))
        p.send_signal(signal.SIGCONT)
        said = p.communicate()[1]
        if "/shrunk: 18 of" in said:
            break # else it had read further before it was stopped
    check("exit status", p.returncode, 1)
    true("what it says: " + said, said.endswith("/shrunk: 18 of 20 lines answered\n"))


def shards(b, source, unbroken):
    all_of_them = []
    for i in range(3):
        to = b.folder + "/shard%d" % i
        check("a shard", b.run(source, to, "--shard", "%d/3" % (i + 1))[0], 1)
        check("its lines", {int(a["id"][10:]) % 3 for a in answers(to)}, {(i + 1) % 3})
        all_of_them += plain(to)
    check("all shards", sorted(all_of_them, key=lambda a: int(a["id"][10:])), unbroken)
    status, said = b.run(source, b.folder + "/shard0", "--shard", "2/3")
    true("another shard's file: " + said, status == 1 and "of another shard" in said)


def requests(n):
    r = random.Random(3)
    out = []
    for i in range(n):
        word = r.choice(["sun", "count", "split", "hi"])
        body = {"prompt": word, "temperature": r.choice([0, 1]), "seed": i, "n": r.choice([1, 1, 4]), "max_tokens": r.choice([3, 60]),
                "ignore_eos": r.random() < 0.5}
        out.append(line("line %d" % i, C, body if r.random() < 0.9 else dict(body, n=0)))
    return out


def kills(b, source, unbroken, times):
    r = random.Random()
    to, signals = b.folder + "/killed", {}
    size = lambda: os.path.getsize(to) if os.path.exists(to) else 0
    for k in range(times + MOST):
        killed = -signal.SIGKILL in signals
        if k >= times and killed:
            break
        if not killed and os.path.exists(to):
            os.remove(to)  # it came to its end before the signal
        p = b.start(source, to)
        aim = size() + r.randint(1, 1 + size_of(unbroken) // times)
        while p.poll() is None and size() < aim:
            time.sleep(0.001)
        s = r.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT]) if killed else signal.SIGKILL
        p.send_signal(s)
        said = p.communicate()[1]
        signals[p.returncode] = signals.get(p.returncode, 0) + 1
        true("its end: %d %s" % (p.returncode, said), p.returncode in (-signal.SIGKILL, 128 + signal.SIGTERM, 128 + signal.SIGINT, 1))
        if r.random() < 0.5 and whole_lines(to):  # as if it had been killed in the middle of a write
            with open(to, "rb") as f:
                last = f.read().splitlines()[-1]
            with open(to, "ab") as f:
                f.write(last[:r.randint(1, len(last) - 1)])
    true("it was killed: %s" % signals, -signal.SIGKILL in signals)
    check("its end", b.run(source, to)[0], 1)
    check("the answers of a batch that was killed", plain(to), unbroken)


def whole_lines(path):
    if not os.path.exists(path):
        return False
    with open(path, "rb") as f:
        return f.read().endswith(b"\n")


def size_of(answers):
    return sum(len(json.dumps(a)) for a in answers)


def locked(b):
    """Two batches on one file of answers."""
    source, to = b.write([line("a", C, {"prompt": "count", "ignore_eos": True, "n": 100})]), b.folder + "/locked"
    with open(to, "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        status, said = b.run(source, to)
        true("two batches: " + said, status == 1 and "another batch writes it" in said)


def full_disk(b, source, unbroken):
    """A file of answers that may not grow further: what does not fit is cut off, and the batch goes on later."""
    to = b.folder + "/full"
    command = [b.build + "/tern", "batch", b.model, source, "-o", to, "-c", "128", "--slots", "3"] + b.flags
    most = size_of(unbroken) // 2
    p = subprocess.run(command, stderr=subprocess.PIPE, text=True, restore_signals=False,  # SIGXFSZ stays ignored
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)))
    true("a full disk: %d %s" % (p.returncode, p.stderr), p.returncode == 1 and "/full: cannot be written: " in p.stderr)
    n = len(answers(to))
    true("%d answers are there" % n, 0 < n < len(unbroken))
    check("then", b.run(source, to)[0], 1)
    check("all answers", plain(to), unbroken)


def main():
    with tempfile.TemporaryDirectory() as folder:
        b = Batch(sys.argv[1], folder)
        whole(b)
        refusals(b)
        files(b)
        fails(b)
        ends_while_lines_wait(b)
        locked(b)
        grows(b)
        shrinks(b)
        n = 150
        source = b.write(requests(n))
        check("an unbroken run", b.run(source, folder + "/unbroken")[0], 1)
        unbroken = plain(folder + "/unbroken")
        check("its lines", [a["custom_id"] for a in unbroken], ["line %d" % i for i in range(n)])
        shards(b, source, unbroken)
        full_disk(b, source, unbroken)
        kills(b, source, unbroken, int(os.environ.get("TERN_BATCH", "10")))
    finish("batch")


main()
