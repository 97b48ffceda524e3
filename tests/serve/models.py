"""Several models in one server: names, loading when they are asked for, unloading by need and by age, and what cannot be loaded.
Answers are the same among loads and unloads as alone."""
import json, os, random, re, shutil, subprocess, sys, tempfile, threading, time
from client import Server, check, finish, fixed, true

C, CHAT, E = "/v1/completions", "/v1/chat/completions", "/v1/embeddings"
REF = ["--target", "ref", "--chat-template", "chatml", "--temp", "0"]
SIZE = "--hidden 128 --ffn 128 --layers 2 --heads 4 --kv-heads 2 --head-dim 32 --vocab 384 --ctx 512 --arch llama"
names = "abc"


def scripted(build, folder, script):
    """Three models of one size that say who they are."""
    for n in names:
        with open(folder + "/script", "w") as f:
            f.write("end <|im_end|>\ncontrol <|im_start|>\nsay: I| am| %s|.\nsay sun: %s| shines|.\n" % (n, n))
        subprocess.run([build + "/make_scripted", folder + "/script", "-o", "%s/%s.gguf" % (folder, n)], check=True)
    return folder + "/a.gguf", [folder + "/b.gguf", folder + "/c.gguf"] + REF


def randoms(build, folder, script, n_models=3):
    """Models with random weights, in which a bit that differs soon shows."""
    for i, n in enumerate(names[:n_models]):
        subprocess.run([build + "/make_gguf", *SIZE.split(), "--seed", str(i + 3), "-o", "%s/%s.gguf" % (folder, n)], check=True,
                       stdout=subprocess.DEVNULL)
    return folder + "/a.gguf", ["%s/%s.gguf" % (folder, n) for n in names[1:n_models]] + REF


def states(s):
    return {m["id"]: m["status"]["value"] for m in s.get("/v1/models")["data"]}


def loaded(s):
    return "".join(sorted(n for n, v in states(s).items() if v == "loaded"))


def say(s, model, prompt="sun", **more):
    return s.post(C, dict(more, prompt=prompt, model=model))["choices"][0]["text"]


def labelled(s, name, model):
    return float(re.search(r'^tern_%s\{model="%s"\} (\S+)$' % (name, model), s.ask("GET", "/metrics")[2], re.M).group(1))


def error(s, body, path=C):
    status, _, text = s.ask("POST", path, body)
    e = json.loads(text)["error"]
    return status, e["code"], e["message"]


class Later:
    """A request on a thread; what came, when it is asked for."""
    def __init__(self, s, path, body, done=None):
        self.thread = threading.Thread(target=self.run, args=(s, path, body, done))
        self.thread.start()

    def run(self, s, path, body, done):
        status, _, self.text = s.ask("POST", path, body)
        self.status = status
        if done is not None:
            done.append(body["user"])

    def get(self):
        self.thread.join()
        return self.status, self.text


def sizes(build, make, flags):
    with Server(build, *flags, make=make) as s:
        for n in names:
            say(s, n)
        return [int(labelled(s, "model_memory_bytes", n)) for n in names]


def by_name(build):
    flags = ["--slots", "2", "-c", "256", "--pooling", "mean"]
    with Server(build, *flags, make=scripted) as s:
        check("lines at the start", [l for l in s.lines if "asked for" in l],
              ["tern: %s: loaded when it is asked for, 2 slots of 256 positions\n" % n for n in "bc"])
        check("states at the start", states(s), {"a": "loaded", "b": "unloaded", "c": "unloaded"})
        check("the first without a name", say(s, None), "a shines.")
        # what needs no step of the model does not load it
        ids = s.post("/tokenize", {"content": "sun", "model": "c"})["tokens"]
        check("tokens", s.post("/detokenize", {"tokens": ids, "model": "c"})["content"], "sun")
        true("a template", "user" in s.post("/apply-template", {"model": "c", "messages": [{"role": "user", "content": "x"}]})["prompt"])
        check("a prompt that is too long", error(s, {"model": "c", "prompt": "x" * 300})[:2], (400, "context_length_exceeded"))
        check("settings of one", s.get("/props?model=b")["model_alias"], "b")
        check("settings", s.get("/props")["model_alias"], "a")
        check("still unloaded", loaded(s), "a")
        check("slots of those that are loaded", [(v["id"], v["model"]) for v in s.get("/slots")], [(0, "a"), (1, "a")])
        for n in names:
            check("an answer of " + n, (say(s, n), say(s, n, "moon")), ("%s shines." % n, "I am %s." % n))
            chat = s.post(CHAT, {"model": n, "messages": [{"role": "user", "content": "sun"}]})
            check("a chat with " + n, (chat["model"], chat["choices"][0]["message"]["content"]), (n, "%s shines." % n))
        check("all loaded", loaded(s), "abc")
        check("all slots", [v["model"] for v in s.get("/slots")], list("aabbcc"))
        check("slots of one", [(v["id"], v["model"]) for v in s.get("/slots?model=b")], [(2, "b"), (3, "b")])
        for path in ("/props?model=d", "/slots?model=d"):
            check(path, s.ask("GET", path)[0], 404)
        unknown = (404, "model_not_found", "model: got 'd', expected a, b or c")
        check("no such model", error(s, {"model": "d", "prompt": "x"}), unknown)
        check("no such model for vectors", error(s, {"model": "d", "input": "x"}, E), unknown)
        check("loads", [labelled(s, "model_loads_total", n) for n in names], [1, 1, 1])
        if shutil.which("promtool"):
            text = s.ask("GET", "/metrics")[2]
            p = subprocess.run(["promtool", "check", "metrics"], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            check("promtool check metrics", (p.returncode, p.stdout), (0, ""))
        else:
            print("skipped a part: promtool is not here (apt install prometheus)")
        check("ready", s.ask("GET", "/ready")[0], 200)
    with Server(build, *flags, "--alias", "x", "--alias", "y \"2\"", make=scripted) as s:
        check("aliases", list(states(s)), ["x", "y \"2\"", "c"])
        check("an alias", say(s, "y \"2\""), "b shines.")
        true("a label in quotes", 'tern_model_loaded{model="y \\"2\\""} 1' in s.ask("GET", "/metrics")[2])
        check("the file's name is none", error(s, {"model": "b", "prompt": "x"})[0], 404)


def least_used(build):
    flags = ["--slots", "2", "-c", "256"]
    one = sizes(build, scripted, flags)
    check("models of one size", one[0] == one[1] == one[2] and one[0] > 0, True)
    with Server(build, *flags, "--memory-limit", str(one[0] + one[1]), make=scripted) as s:
        at = lambda n: (say(s, n), loaded(s))
        check("room for two", at("b"), ("b shines.", "ab"))
        check("a was used before b", at("c"), ("c shines.", "bc"))
        check("b is used", at("b"), ("b shines.", "bc"))
        steps = s.metric("n_decode_total")
        check("c was used before b", at("a"), ("a shines.", "ab"))
        true("counters only rise", s.metric("n_decode_total") > steps)
        check("loads", [labelled(s, "model_loads_total", n) for n in names], [2, 1, 1])
        check("unloads", [labelled(s, "model_unloads_total", n) for n in names], [1, 0, 1])
        check("memory", [labelled(s, "model_memory_bytes", n) for n in names], [one[0], one[1], 0])
        check("failures", [labelled(s, "model_load_failures_total", n) for n in names], [0, 0, 0])
    return one


def at_work(build, one):
    """A model that answers is not unloaded. Who waits for its room comes before those that came later, and who hangs up waits no more."""
    long = {"model": "a", "prompt": "moon", "ignore_eos": True, "max_tokens": 200}
    flags = ["--slots", "2", "-c", "256", "--memory-limit", str(one[0]), "--queue", "1"]
    with Server(build, "--slots", "2", "-c", "256", make=scripted) as s:
        alone = [fixed(e) for e in s.stream(C, long)]
    with Server(build, *flags, make=scripted) as s:
        check("b takes the place of a", (say(s, "b"), loaded(s)), ("b shines.", "b"))
        check("and a that of b", (say(s, "a"), loaded(s)), ("a shines.", "a"))
        c = s.connect()
        c.request("POST", C, json.dumps(dict(long, stream=True, max_tokens=240)))
        r = c.getresponse()
        r.read(100)
        order = []
        waits = Later(s, C, {"model": "b", "prompt": "sun", "user": "b"}, order)
        s.until("b waits", lambda: labelled(s, "model_requests_deferred", "b") == 1 or order)
        late = Later(s, C, {"model": "a", "prompt": "sun", "user": "a"}, order)
        text = r.read().decode()
        c.close()
        true("the stream is whole", text.endswith("data: [DONE]\n\n"))
        check("who waited", (waits.get()[0], late.get()[0]), (200, 200))
        true("in their order, unless both came late", order in (["b", "a"], ["a", "b"]))
        stream = [fixed(e) for e in s.stream(C, long)]
        check("the events of a stream", stream, alone)
        true("unloads", labelled(s, "model_unloads_total", "a") >= 1)
        s.until("nobody waits", lambda: s.metric("requests_deferred") == 0 and s.metric("requests_processing") == 0)


def hung_up(build, one):
    """Clients that wait for a model: too many are refused, and those that hang up are forgotten, with what they waited for."""
    flags = ["--slots", "1", "-c", "512", "--memory-limit", str(one), "--queue", "1"]
    with Server(build, *flags, make=scripted) as s:
        held = s.connect()
        held.request("POST", C, json.dumps({"model": "a", "prompt": "moon", "ignore_eos": True, "stream": True, "max_tokens": 500}))
        held.getresponse().read(50)
        gone = [s.connect() for _ in range(2)]
        for c in gone:
            c.request("POST", C, json.dumps({"model": "b", "prompt": "sun"}))
        for c in gone:
            c.close()
        held.close()
        s.until("nobody waits", lambda: s.metric("requests_deferred") == 0 and s.metric("requests_processing") == 0)
        check("all models answer", [say(s, n) for n in "cab"], ["c shines.", "a shines.", "b shines."])


def gone(build):
    """A model that was opened for clients that have gone is loaded if there is room."""
    with Server(build, "--slots", "1", "-c", "512", make=scripted) as s:
        c = s.connect()
        c.request("POST", C, json.dumps({"model": "b", "prompt": "sun"}))
        s.until("b is looked at", lambda: states(s)["b"] != "unloaded")
        c.close()
        s.until("b is loaded", lambda: "b" in loaded(s))
        check("an answer of b", say(s, "b"), "b shines.")


def full_slots(build):
    """A request that finds a free slot of its model is not refused because another model's requests have to wait."""
    flags = ["--slots", "2", "-c", "512", "--queue", "0"]
    long = {"prompt": "moon", "ignore_eos": True, "max_tokens": 480, "stream": True}
    with Server(build, *flags, make=scripted) as s:
        # both find two free slots while b is not loaded, and then the first takes them
        two = s.connect(), s.connect()
        two[0].request("POST", C, json.dumps(dict(long, model="b", n=40)))
        two[1].request("POST", C, json.dumps(dict(long, model="b")))
        number = lambda name: labelled(s, name, "b")
        s.until("one waits, unless both have ended", lambda: number("model_loads_total") and (
            number("model_requests_deferred") == 1 or number("model_requests_deferred") + s.metric("requests_processing") == 0))
        check("one more for a", s.ask("POST", C, {"model": "a", "prompt": "sun"})[0], 200)
        for c in two:
            c.close()


def not_read(build):
    """Who reads standard error stands still: models come and go all the same, and the server ends when it is told to."""
    flags = ["--slots", "1", "-c", "256", "--idle-timeout", "0.1"]
    with Server(build, *flags, make=scripted) as s:
        reader = s.process.stderr.fileno()
        pipe = os.open("/proc/self/fd/%d" % reader, os.O_WRONLY | os.O_NONBLOCK)
        for size in (4096, 1):
            try:
                while os.write(pipe, b"x" * size):
                    pass
            except BlockingIOError:
                pass
        os.close(pipe)
        for n in "bc":
            check("an answer of " + n, say(s, n), n + " shines.")
        s.until("all are unloaded", lambda: set(states(s).values()) == {"unloaded"})
        os.set_blocking(reader, False)
        while True:
            try:
                os.read(reader, 65536)
            except BlockingIOError:
                break
        os.set_blocking(reader, True)
        check("an answer of a", say(s, "a"), "a shines.")
        lines = ""
        while lines.count("\n") < 2:
            lines += os.read(reader, 65536).decode()
        true("lost lines are counted: " + lines, re.match(r"tern: [45] lines before this one were lost: nobody read them\ntern: a: ", lines))


def processors(build):
    """--cpus binds the thread that steps models; those that read requests, write the log and load models run where the process may."""
    def may_run(task):
        with open(task + "/status") as f:
            return re.search(r"^Cpus_allowed_list:\s*(\S+)$", f.read(), re.M).group(1)
    try:
        everywhere, first = may_run("/proc/self"), min(os.sched_getaffinity(0))
    except (OSError, AttributeError):
        print("skipped a part: this system does not say where threads may run")
        return
    if everywhere == str(first):
        print("skipped a part: this process may run on one processor alone")
        return
    with Server(build, "--slots", "1", "-c", "256", "--cpus", str(first), "--log", "json", make=scripted) as s:
        check("answers", [say(s, n) for n in "ab"], ["a shines.", "b shines."])
        tasks = "/proc/%d/task/" % s.process.pid
        seen = {int(t): may_run(tasks + t) for t in os.listdir(tasks)}
        check("the thread that steps models", seen.pop(s.process.pid), str(first))
        check("the others", (len(seen) >= 3, set(seen.values())), (True, {everywhere}))


def by_age(build):
    with Server(build, "--slots", "2", "-c", "256", "--idle-timeout", "0.2", make=scripted) as s:
        for n in "ab":
            check("an answer of " + n, say(s, n), "%s shines." % n)
        s.until("all are unloaded", lambda: loaded(s) == "")
        check("ready without a model", s.ask("GET", "/ready")[0], 200)
        check("no slots", s.get("/slots"), [])
        check("pages of none", s.metric("pages"), 0)
        check("loaded again", say(s, "a"), "a shines.")
        true("loads", labelled(s, "model_loads_total", "a") >= 2)
        true("memory", labelled(s, "model_memory_bytes", "c") == 0)
    with Server(build, "--slots", "2", "-c", "256", "--idle-timeout", "0.2") as s:
        first = fixed(s.post(C, {"prompt": "count"}))
        s.until("one model is unloaded too", lambda: states(s) == {"m": "unloaded"})
        check("and loaded", fixed(s.post(C, {"prompt": "count"})), first)


def refused(build, one):
    """What cannot be loaded is an error of its own requests."""
    huge = ["--hidden", "256", "--ffn", "512", "--layers", "8", "--heads", "8", "--kv-heads", "8", "--head-dim", "32", "--vocab", "384",
            "--ctx", "512", "--arch", "llama", "-o"]

    def make(build, folder, script):
        model, flags = scripted(build, folder, script)
        subprocess.run([build + "/make_gguf", *huge, folder + "/b.gguf"], check=True, stdout=subprocess.DEVNULL)
        return model, flags

    with Server(build, "--slots", "2", "-c", "256", "--memory-limit", str(one), make=make) as s:
        status, code, message = error(s, {"model": "b", "prompt": "x"})
        check("too large", (status, code), (503, "model_too_large"))
        expected = r"the model 'b' cannot be loaded: needs \d+\.\d MB of memory for weights, code and caches, expected at most the limit, %.1f MB" % (one / 1e6)
        true("its line: " + message, re.fullmatch(expected, message))
        check("the others go on", (say(s, "a"), say(s, "c")), ("a shines.", "c shines."))
        seconds = labelled(s, "model_load_seconds_total", "b")
        check("again", error(s, {"model": "b", "prompt": "x"}), (status, code, message))
        check("it was not opened again", labelled(s, "model_load_seconds_total", "b"), seconds)
        check("in Anthropic's shape", json.loads(s.ask("POST", "/v1/messages", {"model": "b", "max_tokens": 3, "messages": [
            {"role": "user", "content": "x"}]})[2])["error"]["type"], "overloaded_error")
    with Server(build, "--slots", "2", "-c", "256", make=scripted) as s:
        path = s.folder.name + "/b.gguf"
        os.rename(path, path + ".away")
        status, code, message = error(s, {"model": "b", "prompt": "x"})
        check("removed", (status, code), (500, "model_not_loaded"))
        true("its line: " + message, message.startswith("the model 'b' cannot be loaded: b.gguf: ") and s.folder.name not in message)
        check("the others go on", (say(s, "a"), say(s, "c")), ("a shines.", "c shines."))
        with open(path, "wb") as f:
            f.write(open(path + ".away", "rb").read()[:1000])
        check("cut short", error(s, {"model": "b", "input": "x"}, E)[:1] + error(s, {"model": "b", "prompt": "x"})[:2], (400, 500, "model_not_loaded"))
        with open(path, "wb") as f:
            f.write(b"no model\n" * 100)
        check("no model", error(s, {"model": "b", "prompt": "x"})[:2], (500, "model_not_loaded"))
        subprocess.run([build + "/make_gguf", *SIZE.split(), "-o", path], check=True, stdout=subprocess.DEVNULL)
        check("another model", error(s, {"model": "b", "prompt": "x"}), (
            500, "model_not_loaded", "the model 'b' cannot be loaded: b.gguf: is another model than when the server started, expected the "
            "same: start the server again"))
        shutil.copy(path + ".away", path)
        check("there again", say(s, "b"), "b shines.")
        check("failures", [labelled(s, "model_load_failures_total", n) for n in names], [0, 4, 0])


def at_start(build):
    with tempfile.TemporaryDirectory() as folder:
        a, more = scripted(build, folder, "")

        def run(*words):
            p = subprocess.run([build + "/tern", "serve", *words, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=600)
            return p.returncode, p.stderr.replace(folder, "F")

        check("two of a name", run(a, a), (2, "tern serve: two models are called 'a', expected another name for one of them (--alias) "
                                           "(see tern serve --help)\n"))
        check("too many names", run(a, "--alias", "x", "--alias", "y"), (
            2, "tern serve: --alias is given 2 times, expected at most one for each of 1 model (see tern serve --help)\n"))
        check("a pipe", run(a, "-"), (2, "tern serve: -: a model from standard input is not there a second time, expected a file "
                                         "(see tern serve --help)\n"))
        check("a flag beside words", run(a, more[0], "-m", a)[0], 2)
        code, line = run(a, folder + "/none.gguf", *REF)
        true("one that is not there: " + line, code == 1 and line.startswith("tern: error: F/none.gguf: "))
        with open(folder + "/d.gguf", "wb") as f:
            f.write(open(a, "rb").read()[:3000])
        code, line = run(a, folder + "/d.gguf", *REF)
        true("one that is cut short: " + line, code == 1 and "F/d.gguf: " in line)
        code, line = run(a, more[0], "-c", "100000", *REF)
        true("a context that is too long: " + line, code == 1)


def requests(r, n):
    made = []
    for i in range(n):
        model = r.choice(names)
        text = " ".join(r.choice("and the king of all that is said".split()) for _ in range(r.choice([2, 8, 40])))
        if r.random() < 0.3:
            made.append((E, {"model": model, "input": [text, "a", text[::-1]]}))
        else:
            made.append((C, {"model": model, "prompt": text, "seed": i, "temperature": r.choice([0, 1]), "max_tokens": r.choice([1, 9, 30]),
                             "logprobs": 2, "n": r.choice([1, 1, 2])}))
    return made


def among_loads(build):
    """Answers and vectors are those of a server that has the model alone."""
    flags = ["--slots", "2", "-c", "256", "--pooling", "mean", "-t", "2"]
    asked, alone = requests(random.Random(1), 36), {}
    with Server(build, *flags, make=randoms) as s:
        size = max(int(say(s, n) and labelled(s, "model_memory_bytes", n)) for n in names)
    for n in names:
        def make(build, folder, script):
            randoms(build, folder, script)
            return "%s/%s.gguf" % (folder, n), REF
        with Server(build, *flags, make=make) as s:
            for i, (path, body) in enumerate(asked):
                if body["model"] == n:
                    alone[i] = fixed(s.post(path, body))
    for room, more in ((1, []), (2, ["--idle-timeout", "0.01"])):
        with Server(build, *flags, "--memory-limit", str(room * size), "--queue", "100", *more, make=randoms) as s:
            got = [None] * len(asked)

            def worker(k):
                for i in range(k, len(asked), 6):
                    got[i] = fixed(s.post(*asked[i]))
            threads = [threading.Thread(target=worker, args=(k,)) for k in range(6)]
            [t.start() for t in threads], [t.join() for t in threads]
            for i, answer in enumerate(got):
                check("room for %d: %s" % (room, asked[i]), answer, alone[i])
            # with room for two, one at least had to go, and without work the other two go
            s.until("models came and went", lambda: sum(labelled(s, "model_unloads_total", n) for n in names) >= (3 if more else 2))


def compiled(build):
    """A .tern and a .gguf, with code. The .gguf is compiled once."""
    with tempfile.TemporaryDirectory() as cache:
        def make(build, folder, script):
            randoms(build, folder, script)
            p = subprocess.run([build + "/tern", "compile", folder + "/a.gguf", "-o", folder + "/a.tern"], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
            if p.returncode:
                print("skipped a part: this build compiles nothing: " + p.stdout.strip())
                return None
            return folder + "/a.tern", [folder + "/b.gguf", "--temp", "0"]

        with tempfile.TemporaryDirectory() as folder:
            if not make(build, folder, ""):
                return
            p = subprocess.run([build + "/tern", "serve", "--target", "ref", folder + "/c.gguf", folder + "/a.tern", "--memory-limit", "1K", "--port", "0"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            check("too small a limit for the first", (p.returncode, "expected at most the limit" in p.stderr or p.stderr), (1, True))
        flags = ["--slots", "2", "-c", "128", "--idle-timeout", "0.1"]
        with Server(build, *flags, make=make, env={"TERN_KEEP": "1", "XDG_CACHE_HOME": cache}) as s:
            kept = lambda: [f for f in os.listdir(cache + "/tern/kept") if f.endswith(".tern")] if os.path.isdir(cache + "/tern/kept") else []
            check("nothing was compiled for the names", kept(), [])
            first = [fixed(s.post(C, {"model": n, "prompt": "and the", "max_tokens": 9})) for n in "ab"]
            check("compiled once", len(kept()), 1)
            s.until("both are unloaded", lambda: loaded(s) == "")
            again = [fixed(s.post(C, {"model": n, "prompt": "and the", "max_tokens": 9})) for n in "ba"]
            check("the answers of both", again, first[::-1])
            check("the same file", len(kept()), 1)
        # weights that are copied are checked when there is room for them, and a kept file that is damaged is written anew
        path = cache + "/tern/kept/" + kept()[0]
        whole = open(path, "rb").read()
        with open(path, "r+b") as f:
            f.seek(len(whole) // 2)
            f.write(bytes(256))
        with Server(build, *flags, "--huge", make=make, env={"TERN_KEEP": "1", "XDG_CACHE_HOME": cache}) as s:
            check("a damaged file", fixed(s.post(C, {"model": "b", "prompt": "and the", "max_tokens": 9})), first[1])
            s.until("b is unloaded", lambda: states(s)["b"] == "unloaded")
            check("from huge pages", fixed(s.post(C, {"model": "b", "prompt": "and the", "max_tokens": 9})), first[1])
            check("it was written anew", open(path, "rb").read() == whole, True)
            check("failures", labelled(s, "model_load_failures_total", "b"), 0)


def main():
    build = sys.argv[1]
    by_name(build)
    one = least_used(build)
    at_work(build, one)
    hung_up(build, one[0])
    gone(build)
    full_slots(build)
    not_read(build)
    processors(build)
    by_age(build)
    refused(build, one[0])
    at_start(build)
    among_loads(build)
    compiled(build)
    finish("models")


if __name__ == "__main__":
    main()
