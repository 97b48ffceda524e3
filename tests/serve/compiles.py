"""Models that a server compiles: what happens to that process costs only the requests for the model. And requests that wait while a
model is loaded: too many, too long."""
import json, os, re, resource, signal, subprocess, sys, tempfile, threading, time
from client import Server, check, finish, fixed, true
from models import C, SIZE, Later, error, labelled, randoms, say, states

LARGE = "--hidden 512 --ffn 1536 --layers 4 --heads 8 --kv-heads 4 --head-dim 64 --vocab 4096 --ctx 4096 --arch llama"
ABORTED = "the compiler aborted: out of memory, or a fault in it"


models = None # a.tern is compiled, b.gguf is to be


def server(build, cache, *flags):
    return Server(build, "--slots", "1", "-c", "64", "-t", "1", *flags, make=lambda *_: (models + "/a.tern", [models + "/b.gguf", "--temp", "0"]),
                  env={"TERN_KEEP": "1", "XDG_CACHE_HOME": cache})


def started_by(pid):
    """The processes that it has started."""
    found = []
    for name in os.listdir("/proc"):
        try:
            with open("/proc/%s/stat" % name) as f:
                if name.isdigit() and int(f.read().rpartition(")")[2].split()[1]) == pid:
                    found.append(int(name))
        except (OSError, ValueError):
            pass
    return found


def text_of(path):
    try:
        with open(path) as f:
            return f.read()
    except OSError: # the process has ended
        return ""


def compiler_of(s):
    """Asks for b, and waits for the process that compiles it, which has begun to work; 0: it came to an end before that was seen."""
    asked = Later(s, C, {"model": "b", "prompt": "sun", "max_tokens": 2})
    pid = 0

    def there():
        nonlocal pid
        pid = (started_by(s.process.pid) or [0])[0]
        return states(s)["b"] == "loaded" or not asked.thread.is_alive() or pid and "libternc" in text_of("/proc/%d/maps" % pid)
    s.until("b is compiled", there)
    return asked, pid


def held(pid):
    """Stops the process: while it is stopped it has not ended, and the server waits for it. False: it has ended."""
    try:
        if pid:
            os.kill(pid, signal.SIGSTOP)
    except OSError:
        return False
    while True:
        state = text_of("/proc/%d/stat" % pid).rpartition(")")[2].split()[:1]
        if state in (["T"], [], ["Z"], ["X"]):
            return state == ["T"]
        time.sleep(0.001)


def catches(pid, sig):
    """Whether a process has a handler for a signal; also if it has ended."""
    caught = re.search(r"^SigCgt:\s*(\w+)", text_of("/proc/%d/status" % pid), re.M)
    return not caught or int(caught[1], 16) >> (sig - 1) & 1


def left_over(cache):
    return [f for _, _, files in os.walk(cache) for f in files if ".tern" in f]


def lost(build):
    """The process is killed, aborts, or has no memory. The model's requests get an error, the next one compiles again, and the other
    model goes on."""
    def memory(pid):
        size = int(re.search(r"^VmSize:\s*(\d+)", text_of("/proc/%d/status" % pid), re.M).group(1)) << 10
        resource.prlimit(pid, resource.RLIMIT_AS, (size, size))
    def abort(pid): # while it compiles, which is when it catches that
        while not catches(pid, signal.SIGABRT):
            time.sleep(0.001)
        os.kill(pid, signal.SIGABRT)
    sanitized = "asan" in subprocess.run(["ldd", build + "/tern"], stdout=subprocess.PIPE, text=True).stdout
    cases = [("killed", lambda pid: os.kill(pid, signal.SIGKILL), 503,
              r"the compiler's process was ended by signal 9 \(Killed\): perhaps there was no memory"),
             ("aborted", abort, 500, ABORTED),
             ("no memory", memory, 503, r".*(out of|allocate) memory.*")]
    for what, harm, want, line in cases[:2] if sanitized else cases:
        with tempfile.TemporaryDirectory() as cache, server(build, cache) as s:
            first = fixed(s.post(C, {"model": "a", "prompt": "and the", "max_tokens": 5}))
            asked, pid = compiler_of(s)
            try:
                if pid:
                    harm(pid)
            except (OSError, AttributeError):
                pid = 0 # it has ended
            status, text = asked.get()
            if not pid or status == 200:
                print("skipped a part: b was compiled before the process was %s" % what)
                continue
            e = json.loads(text)["error"]
            check("%s: the status" % what, (status, e["code"]), (want, "model_not_loaded"))
            true("%s: %s" % (what, e["message"]), re.fullmatch("the model 'b' cannot be loaded: " + line, e["message"]))
            said = s.process.stderr.readline()
            true("%s: the line: %s" % (what, said), re.fullmatch("tern: b: not loaded: " + line + "\n", said))
            check("%s: nothing is left of it" % what, left_over(cache), [])
            check("%s: a goes on" % what, fixed(s.post(C, {"model": "a", "prompt": "and the", "max_tokens": 5})), first)
            check("%s: failures" % what, [labelled(s, "model_load_failures_total", n) for n in "ab"], [0, 1])
            true("%s: again" % what, say(s, "b", max_tokens=2))
            check("%s: it is kept" % what, len(left_over(cache)), 1)
            check("%s: nobody is left" % what, started_by(s.process.pid), [])


def unfinished(build):
    """The process is killed when its file is there, but before it has said that it may stay: it does not."""
    with tempfile.TemporaryDirectory() as cache, server(build, cache) as s:
        asked, pid = compiler_of(s)
        while pid and asked.thread.is_alive():
            if [f for f in left_over(cache) if f.endswith(".tern")]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass # it has ended
                break
        status, _ = asked.get()
        if status == 200:
            print("skipped a part: b was compiled before the process was killed")
            return
        check("the status", status, 503)
        check("nothing is left of it", left_over(cache), [])


def piped(build):
    """The model is a file on standard input, which the compiler's process has too. Its lines are there once."""
    with tempfile.TemporaryDirectory() as cache, open(models + "/a.gguf") as f:
        p = subprocess.Popen([build + "/tern", "serve", "/dev/stdin", "-c", "64", "-t", "1", "--port", "0"], stdin=f, stderr=subprocess.PIPE, text=True,
                             env=dict(os.environ, TERN_KEEP="1", XDG_CACHE_HOME=cache))
        lines = []
        for line in p.stderr:
            lines.append(line)
            if " at http" in line:
                break
        p.terminate()
        lines += p.stderr.readlines()
        p.stderr.close()
        check("piped: %s" % lines, p.wait(), 0)
        check("it is kept", [len(left_over(cache)), any("not kept" in l for l in lines)], [1, False])
        check("lines come once", len(lines), len(set(lines)))


def waiting(build):
    """While b is loaded, its requests wait: of too many the last is refused, and those that have waited too long are."""
    body = {"model": "b", "prompt": "sun", "max_tokens": 2}
    with tempfile.TemporaryDirectory() as cache, server(build, cache, "--queue", "1") as s:
        asked, pid = compiler_of(s)
        if not held(pid):
            print("skipped a part: b was compiled before anybody had to wait")
            return
        second = Later(s, C, body)
        s.until("two wait", lambda: labelled(s, "model_requests_deferred", "b") == 2)
        refused = s.metric("requests_refused_total")
        status, headers, text = s.ask("POST", C, body)
        check("a third", (status, json.loads(text)["error"]["code"]), (429, "queue_full"))
        true("when to come again", int(headers["Retry-After"]) > 0)
        check("it is counted", s.metric("requests_refused_total"), refused + 1)
        check("the other model has slots", s.ask("POST", C, dict(body, model="a"))[0], 200)
        os.kill(pid, signal.SIGCONT)
        check("who waited", [asked.get()[0], second.get()[0]], [200, 200])
        check("nobody waits", labelled(s, "model_requests_deferred", "b"), 0)
    with tempfile.TemporaryDirectory() as cache, server(build, cache, "--deadline", "0.5") as s:
        asked, pid = compiler_of(s)
        pid = (started_by(s.process.pid) or [0])[0]
        if not held(pid):
            print("skipped a part: b was compiled before anybody had to wait")
            return
        check("too long", error(s, body)[:2], (504, "deadline"))
        check("too long, as a stream", error(s, dict(body, stream=True))[:2], (504, "deadline"))
        asked.get()
        true("they are counted", s.metric("requests_late_total") >= 2)
        check("nobody waits any more", labelled(s, "model_requests_deferred", "b"), 0)
        os.kill(pid, signal.SIGCONT)
        s.until("it is loaded for later ones", lambda: states(s)["b"] == "loaded")


def ended(build):
    """The server ends while a model is compiled that nobody waits for: it does not wait for that, and leaves nothing of it behind. Or it
    is killed."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with tempfile.TemporaryDirectory() as cache, server(build, cache) as s:
            c = s.connect()
            c.request("POST", C, json.dumps({"model": "b", "prompt": "sun"}))
            pid = 0

            def there():
                nonlocal pid
                pid = (started_by(s.process.pid) or [0])[0]
                return pid or states(s)["b"] == "loaded"
            s.until("b is compiled", there)
            c.close()
            caught = held(pid)
            s.process.send_signal(how)
            if caught:
                os.kill(pid, signal.SIGCONT)
            text = s.process.stderr.read() # until the compiler's process has ended too
            status = s.process.wait()
            check("the exit status", status, -how if how == signal.SIGKILL else 0)
            if how == signal.SIGKILL:
                s.process.returncode = 0 # it was meant to
            if "b: loaded in" in text or not caught or how == signal.SIGTERM and "tern: b: " not in text:
                print("skipped a part: it was compiled before the server had to end")
                continue
            if how == signal.SIGTERM:
                check("its line", [l for l in text.splitlines() if "tern: b: " in l], ["tern: b: not loaded: the server ends"])
            s.until("the compiler's process has ended", lambda: not text_of("/proc/%d/maps" % pid))
            check("nothing is kept of it", left_over(cache), [])


def aborted(build):
    """What is not kept is compiled in the server: an abort in the compiler, also while it is used a second time, ends it with one line and
    the exit status 1."""
    with tempfile.TemporaryDirectory() as folder:
        randoms(build, folder, "", 1)
        s = Server(build)
        s.process = subprocess.Popen([build + "/tern", "serve", folder + "/a.gguf", models + "/b.gguf", "--slots", "1", "-c", "64", "--port", "0",
                                      "--no-keep"], stderr=subprocess.PIPE, text=True)
        for line in s.process.stderr:
            found = re.search(r" at http://.*:(\d+), ", line)
            if found:
                s.port = int(found.group(1))
                break
        check("outside the compiler an abort is one", catches(s.process.pid, signal.SIGABRT), 0)
        c = s.connect()
        c.request("POST", C, json.dumps({"model": "b", "prompt": "sun"}))
        s.until("b is compiled", lambda: catches(s.process.pid, signal.SIGABRT) or states(s)["b"] == "loaded")
        s.process.send_signal(signal.SIGABRT)
        text, status = s.process.stderr.read(), s.process.wait()
        s.process.stderr.close()
        if status == -signal.SIGABRT:
            print("skipped a part: it was compiled before it was aborted")
        else:
            check("its line and status", (text, status), ("tern: error: %s\n" % ABORTED, 1))
        c.close()


def processors(build):
    """With --cpus the first model is compiled on all of its processors, and not on that of the thread that waits for it."""
    cpus = sorted(os.sched_getaffinity(0))[:2]
    if len(cpus) < 2:
        print("skipped a part: this process may run on one processor alone")
        return
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/lines", "w") as lines:
            p = subprocess.Popen([build + "/tern", "serve", models + "/b.gguf", "-c", "64", "--port", "0", "--cpus", ",".join(map(str, cpus))],
                                 stderr=lines, env=dict(os.environ, TERN_KEEP="1", XDG_CACHE_HOME=folder))
        seen = set()
        while p.poll() is None and " at http" not in text_of(folder + "/lines"):
            for pid in started_by(p.pid):
                try:
                    if "compile-kept" in text_of("/proc/%d/cmdline" % pid):
                        seen.add(tuple(sorted(os.sched_getaffinity(pid))))
                except OSError:
                    pass
        p.terminate()
        check("the exit status", p.wait(), 0)
        if seen:
            check("where it is compiled", seen, {tuple(cpus)})
        else:
            print("skipped a part: it was compiled before that was seen")


def same(build):
    """What is compiled apart is the file that tern run keeps, whatever the flags are."""
    level = subprocess.run([build + "/tern", "--version"], stdout=subprocess.PIPE, text=True).stdout.split("cpu levels: ")[1].split()[0].split(",")[-1]
    for more in ([], ["--head", "q6", "-ctk", "i8", "-ctv", "i8", "--cpu", level, "-t", "1", "--override-kv", "llama.rope.freq_base=float:5000",
                      "--override-kv", "general.name=str:-x y"]):
        with tempfile.TemporaryDirectory() as folder:
            def kept(name):
                at = "%s/%s/tern/kept/" % (folder, name)
                return {f: open(at + f, "rb").read() for f in os.listdir(at) if f.endswith(".tern")}
            env = lambda name: {"TERN_KEEP": "1", "XDG_CACHE_HOME": folder + "/" + name}
            words = ["-c", "64", "--temp", "0"] + more
            subprocess.run([build + "/tern", "run", models + "/a.gguf", "--tokens", "1", "-n", "1", *words], check=True, env=dict(os.environ, **env("run")),
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            with Server(build, make=lambda *_: (models + "/a.gguf", words), env=env("serve")):
                check("the same file, flags %s" % more, kept("serve") == kept("run") or list(kept("serve")), True)
            check("one file", len(kept("serve")), 1)


def unheard(build):
    """Who started the server ignores the ends of processes, and that is inherited: how the compiler's ended is known all the same."""
    ignoring = [sys.executable, "-c", "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"]
    with tempfile.TemporaryDirectory() as cache, Server(build, "-c", "64", "-t", "1", under=ignoring, env={"TERN_KEEP": "1", "XDG_CACHE_HOME": cache},
                                                        make=lambda *_: (models + "/a.gguf", ["--temp", "0"])) as s:
        check("it is kept", [l for l in s.lines if "not kept" in l] + ["%d" % len(left_over(cache))], ["1"])


WIDE = "--hidden 256 --ffn 512 --layers 4 --heads 8 --kv-heads 8 --head-dim 32 --vocab 384 --ctx 2048 --arch llama"


def compiled(build, gguf, tern, *more):
    """For this machine, and for what else is named."""
    levels = subprocess.run([build + "/tern", "--version"], stdout=subprocess.PIPE, text=True).stdout.split("cpu levels: ")[1].split()[0]
    subprocess.run([build + "/tern", "compile", gguf, "-o", tern, "--levels", ",".join([levels, *more])], check=True, stderr=subprocess.DEVNULL)


def fallen_back(build):
    """The same with a .tern, while a answers one request after another: checking its weights for the cpu takes no worker from the steps of a."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([build + "/make_gguf", *WIDE.split(), "-o", folder + "/b.gguf"], check=True, stdout=subprocess.DEVNULL)
        compiled(build, folder + "/b.gguf", folder + "/b.tern", "sm_80")
        compiled(build, models + "/a.gguf", folder + "/a.tern", "sm_80")
        gpu = {"LD_LIBRARY_PATH": build + "/tests/fake_cuda", "FAKE_CUDA_MEMORY": "6000000"}
        with Server(build, "--slots", "2", "-t", "1", "-c", "512", "--device", "auto", env=gpu,
                    make=lambda *_: (folder + "/a.tern", [folder + "/b.tern", "--temp", "0"])) as s:
            loaded, answers = threading.Event(), []

            def answering():
                while not loaded.is_set():
                    answers.append(s.ask("POST", C, {"model": "a", "prompt": "and the", "max_tokens": 100, "ignore_eos": True})[0])
            thread = threading.Thread(target=answering)
            thread.start()
            try:
                s.until("a answers", lambda: s.metric("tokens_predicted_total") > 0)
                status, _, text = s.ask("POST", C, {"model": "b", "prompt": "sun", "max_tokens": 2})
            finally:
                loaded.set()
                thread.join()
            check("b: %s" % text, status, 200)
            check("a", set(answers), {200})
            s.process.send_signal(signal.SIGTERM)
            check("b runs on the cpu", sum("device cpu in place of cuda:0" in l for l in s.process.stderr.readlines()), 1)


def replaced(build):
    """A .tern that was opened for a GPU, and is another model when it is opened for the cpu."""
    with tempfile.TemporaryDirectory() as folder:
        compiled(build, models + "/a.gguf", folder + "/b.tern", "sm_80")
        with Server(build, "-t", "1", "-c", "64", "--device", "auto", env={"LD_LIBRARY_PATH": build + "/tests/fake_cuda"},
                    make=lambda *_: (models + "/a.tern", [folder + "/b.tern", "--temp", "0"])) as s:
            subprocess.run([build + "/make_gguf", *SIZE.split(), "--seed", "9", "-o", folder + "/c.gguf"], check=True, stdout=subprocess.DEVNULL)
            compiled(build, folder + "/c.gguf", folder + "/c.tern")
            os.rename(folder + "/c.tern", folder + "/b.tern")
            check("another model", error(s, {"model": "b", "prompt": "sun"}), (500, "model_not_loaded", "the model 'b' cannot be loaded: b.tern: "
                  "is another model than when the server started, expected the same: start the server again"))


def small_gpu(build):
    """--device auto, and a GPU with room for the weights of b but not for what steps it: the cpu takes over, with a line and the same
    answers. The driver is the tests' own."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([build + "/make_gguf", *WIDE.split(), "-o", folder + "/b.gguf"], check=True, stdout=subprocess.DEVNULL)
        flags = ["--slots", "2", "-t", "1", "--no-keep", "-n", "4"]

        def answers(model, more, env=None):
            with Server(build, *flags, *more, make=lambda *_: (model, [folder + "/b.gguf", "--temp", "0"]), env=env) as s:
                got = [fixed(s.post(C, {"model": n, "prompt": "and the"})) for n in (os.path.basename(model)[0], "b")]
                s.process.send_signal(signal.SIGTERM)
                return got, s.lines + s.process.stderr.readlines()
        want, _ = answers(models + "/a.gguf", ["-c", "512"])
        gpu = {"LD_LIBRARY_PATH": build + "/tests/fake_cuda", "FAKE_CUDA_MEMORY": "6000000"}
        got, lines = answers(models + "/a.gguf", ["-c", "512", "--device", "auto"], gpu)
        check("the answers", got, want)
        lines = [l for l in lines if " device " in l]
        check("a line for each", len(lines), 2)
        check("a", lines[0], "tern: device cuda:0: Fake GPU 0, which runs sm_80\n")
        true("b: " + lines[-1], re.fullmatch(r"tern: device cpu in place of cuda:0: cuda:0: no memory for \d+ bytes, \d+ of 6000000 are free\n", lines[-1]))


def main():
    global models
    build = sys.argv[1]
    with tempfile.TemporaryDirectory() as models:
        randoms(build, models, "", 1)
        subprocess.run([build + "/make_gguf", *LARGE.split(), "-o", models + "/b.gguf"], check=True, stdout=subprocess.DEVNULL)
        p = subprocess.run([build + "/tern", "compile", models + "/a.gguf", "-o", models + "/a.tern"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if p.returncode:
            print("skipped: this build compiles nothing: " + p.stdout.strip())
            sys.exit(77)
        for part in same, piped, lost, unfinished, waiting, ended, aborted, processors, unheard, small_gpu, fallen_back, replaced:
            part(build)
    finish("compiles")


main()
