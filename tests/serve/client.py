"""A server with a scripted model (tests/support/scripted.h), and a client of Python's standard library."""
import http.client, json, os, re, signal, socket, subprocess, sys, tempfile, time

SCRIPT = """end <|im_end|>
control <|im_start|>
say: Hello|, hello|!
say sun: It| shines|.
say count: one| two| three| four| five| six| seven| eight| nine| ten
say split: gr|\\xc3|\\xbc|n
say broken: bad|\\xc3|end
say pick: left
say pick: right
say weather: <tool_call>\\n{"name": "weather", "arguments": {"city": "Rome"}}\\n</tool_call>
say half: <tool_call>\\n{"name": "weather"
say json: {|"a"|:|1|}
say person: {"name": "Alice", "age": 5}
say weathers: {"name": "weather", "age": 5, "arguments": {}}
say bare: {"name": "weather", "parameters": {"city": "Oslo"}}
say unknown: <tool_call>{"name": "wether", "arguments": {}}</tool_call>
"""
failures = checks = 0


def check(what, got, expected):
    global failures, checks
    checks += 1
    if got != expected:
        failures += 1
        print("FAILED: %s: got %r, expected %r" % (what, got, expected))


def true(what, condition):
    check(what, bool(condition), True)


def finish(name):
    print("serve %s: %d checks, %d failures" % (name, checks, failures))
    sys.exit(failures != 0)


def make_model(build, folder, script=SCRIPT):
    """The path of a scripted model, and the flags that both serve and batch want for it."""
    with open(folder + "/script", "w") as f:
        f.write(script)
    subprocess.run([build + "/make_scripted", folder + "/script", "-o", folder + "/m.gguf"], check=True)
    return folder + "/m.gguf", ["--target", "ref", "--chat-template", "chatml", "--temp", "0"]


class Server:
    """A server of a scripted model, or of what `make` makes. With `with`: started, and ended by SIGTERM if it still runs; the exit
    status must be 0. `under`: a program that runs it, with its flags. Unless a test asks for it, there is no limit on the time of a
    request or of a quiet connection: on a busy machine the client may be late, and all may be paused."""

    def __init__(self, build, *flags, unix=None, env=None, script="", template="chatml", make=make_model, under=()):
        self.under = list(under)
        self.build, self.flags, self.unix, self.env = build, flags, unix, env
        self.script, self.template, self.make = SCRIPT + script, template, make
        self.port, self.process, self.folder = None, None, tempfile.TemporaryDirectory()

    def __enter__(self):
        model, flags = self.make(self.build, self.folder.name, self.script)
        where = ["--socket", self.unix] if self.unix else ["--port", "0"]
        command = self.under + [self.build + "/tern", "serve", model] + [self.template if f == "chatml" else f for f in flags]
        for limit in ("--idle", "--deadline"):
            where += [] if limit in self.flags else [limit, "1000000"]
        self.process = subprocess.Popen(command + where + list(self.flags), stderr=subprocess.PIPE, text=True,
                                        env=dict(os.environ, **(self.env or {})))
        self.lines = []
        for line in self.process.stderr:
            self.lines.append(line)
            found = re.search(r" at (?:http://.*:(\d+)|unix:\S+), ", line)
            if found:
                self.port = int(found.group(1) or 0)
                return self
        raise SystemExit("the server did not start: " + "".join(self.lines))

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(600)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "none: it hangs"
        check("the exit status of the server", code, 0)
        self.process.stderr.close()
        self.folder.cleanup()

    def connect(self):
        if not self.unix:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        c = http.client.HTTPConnection("localhost", timeout=600)
        c.sock = socket.socket(socket.AF_UNIX)
        c.sock.connect(self.unix)
        return c

    def ask(self, method, path, body=None, headers=None):
        """Status, headers and text."""
        c = self.connect()
        try:
            data = body if body is None or isinstance(body, (str, bytes)) else json.dumps(body)
            c.request(method, path, data, headers or {})
            r = c.getresponse()
            return r.status, dict(r.getheaders()), r.read().decode("utf-8", "surrogateescape")
        finally:
            c.close()

    def get(self, path):
        return json.loads(self.ask("GET", path)[2])

    def post(self, path, body, headers=None):
        status, _, text = self.ask("POST", path, body, headers)
        answer = json.loads(text)
        if status != 200:
            raise AssertionError("%s %s: %d %s" % (path, body, status, text))
        return answer

    def stream(self, path, body):
        """The events' data, without [DONE], which must be the last."""
        status, headers, text = self.ask("POST", path, dict(body, stream=True))
        check("the status of a stream", status, 200)
        check("the type of a stream", headers.get("Content-Type"), "text/event-stream")
        events = text.split("\n\n")
        check("the end of a stream", events[-2:], ["data: [DONE]", ""])
        return [json.loads(e[len("data: "):]) for e in events[:-2]]

    def metric(self, name):
        text = self.ask("GET", "/metrics")[2]
        return float(re.search(r"^tern_%s (\S+)$" % name, text, re.M).group(1))

    def until(self, what, condition, seconds=600):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                check(what, "not in %d seconds" % seconds, True)
                return
            time.sleep(0.01)
        check(what, True, True)


def fixed(answer):
    """Without what differs from one time to the next."""
    if isinstance(answer, list):
        return [fixed(a) for a in answer]
    if isinstance(answer, dict):
        if "cache_read_input_tokens" in answer: # Anthropic's counts tokens from the cache apart
            answer = dict(answer, input_tokens=answer["input_tokens"] + answer["cache_read_input_tokens"])
        return {k: fixed(v) for k, v in answer.items() if k not in (
            "id", "item_id", "call_id", "created", "created_at", "timings", "prompt_tokens_details", "input_tokens_details", "cache_read_input_tokens")}
    return answer
