"""tern serve among clients that mean harm: damaged heads and bodies, values of all kinds in all members, slow senders, resets in
the middle of a stream, more connections than may be open, more requests than may wait, a model's file that is removed. Whatever comes,
each request that libmicrohttpd can read gets an answer in JSON, no slot stays taken and memory does not grow.
TERN_ABUSE=N: N damaged requests (default 600)."""
import json, os, random, re, resource, socket, struct, sys, threading, time
import client, errors, shapes
from client import Server, check, finish, true

C, CHAT, E = errors.C, errors.CHAT, errors.E
with open(sys.argv[1] + "/CMakeCache.txt") as cache:
    SANITIZED = re.search(r"^TERN_SANITIZE:STRING=.", cache.read(), re.M)  # then freed memory is kept for a while
REFUSED = [row[:2] for row in errors.ROWS + shapes.ROWS]
LONG = {"prompt": "count", "ignore_eos": True, "n": 100, "stream": True}
VALUES = [None, True, False, 0, -1, 1, 1.5, 1e308, -0.0, 2**53, 2**63 - 1, -2**63, "", "x", "\u0000", "\ud7ff\U0010ffff", "9" * 400, [], {}, [[]],
          [None], [1, "a", {}], {"a": 1}, {"": {"": []}}, {"type": "json_schema"}, {"type": "object", "properties": {"a": {"$ref": "#"}}},
          {"include_usage": 3}, {"0": 1}, {"0": -1e9}, [{"role": "user"}], [{"role": 1, "content": []}], ["a"] * 300, "root ::= root", "root ::= \"a\"*"]
MEMBERS = ["model", "stream", "stream_options", "n", "max_tokens", "temperature", "top_p", "top_k", "min_p", "repeat_penalty", "repeat_last_n",
           "seed", "stop", "logit_bias", "response_format", "json_schema", "grammar", "ignore_eos", "frequency_penalty", "presence_penalty",
           "prompt", "echo", "logprobs", "best_of", "suffix", "messages", "tools", "tool_choice", "chat_template_kwargs", "top_logprobs", "input",
           "encoding_format", "dimensions", "content", "tokens", "with_pieces", "add_special", "user", "unknown", "n\u0000", "\u00fc" * 200]


def routes():
    """The POST routes, of the sources' table."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../frontends/serve/routes.def")) as f:
        return re.findall(r'^ROUTE\("POST", "([^"]+)"', f.read(), re.M)


class Raw:
    """A connection that stays open as long as the server keeps it, and what is sent is sent as it is."""

    def __init__(self, s):
        self.s, self.c = s, None

    def close(self):
        if self.c:
            self.c.close()
        self.c = None

    def send(self, data):
        """Status, headers and body of the answer; None: the server hung up."""
        again = self.c is not None
        if not self.c:
            self.c = socket.create_connection(("127.0.0.1", self.s.port), 600)
            self.file = self.c.makefile("rb")
        try:
            self.c.sendall(data)
            bodiless = data.startswith(b"HEAD ")
            got = self.read(bodiless)
            while got and got[0] == 100:
                got = self.read(bodiless)
        except OSError:
            got = None
        if got is None:
            self.close()
            return self.send(data) if again else None
        if got[1].get("connection") == "close":
            self.close()
        return got

    def read(self, bodiless):
        first = self.file.readline()
        if not first:
            return None
        headers = {}
        while True:
            line = self.file.readline().decode("latin-1").strip()
            if not line:
                break
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip().lower()
        if bodiless:
            body = b""
        elif "content-length" in headers:
            body = self.file.read(int(headers["content-length"]))
        else:
            body = b""
            while headers.get("transfer-encoding") == "chunked":
                n = int(self.file.readline(), 16)
                body += self.file.read(n)
                self.file.readline()
                if n == 0:
                    break
        return int(first.split()[1]), headers, body


def message(path, body, head=b"", method=b"POST"):
    return b"%s %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %d\r\n\r\n" % (method, path.encode(), head, len(body)) + body


def damaged(r):
    path, body = r.choice(errors.WHOLE)
    data = bytearray(json.dumps(body).encode())
    for _ in range(r.randint(1, 3)):
        at, kind = r.randrange(len(data)), r.randrange(4)
        if kind == 0:
            del data[at:at + r.randint(1, 5)]
        elif kind == 1:
            data[at:at] = bytes([r.choice(b'{}[]",:0e-.\\\xff\x00 tn')])
        elif kind == 2:
            data[at] = r.randrange(256)
        else:
            data[at:at] = data[r.randrange(len(data)):][:r.randint(1, 30)]
    return message(path, bytes(data))


def strange(r, paths):
    """A whole body with values that may mean nothing."""
    path, body = r.choice(errors.WHOLE)
    if r.random() < 0.3:
        path = r.choice(paths)
    body = dict(body, max_tokens=2) if path in (C, CHAT) else dict(body)
    for _ in range(r.randint(1, 3)):
        body[r.choice(MEMBERS)] = r.choice(VALUES)
    body.pop("ignore_eos", None)
    return message(path, json.dumps(body).encode())


def known(r):
    """A request of the table of refusals."""
    path, body = r.choice(REFUSED)
    data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return message(path, data)


def deep(r):
    n = r.choice([10, 255, 256, 257, 5000])
    a, b = r.choice([(b"[", b"]"), (b'{"a":', b"}")])
    return message(C, b'{"prompt": ' + a * n + b"1" + b * n + b"}")


def head(r):
    """A head that a server may take in different ways; a body of none."""
    path = r.choice([C, "/", "//", "/v1", "/../etc/passwd", "/%00", "/v1/completions/", "/health?" + "a=b&" * 500, "/" + "a" * 3000, "/\u00fc", "*"])
    method = r.choice([b"GET", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"X", b"HEAD", b"POST", b"CONNECT", b"get"])
    extra = r.choice([b"", b"X: \xff\x01\r\n", b"Authorization: Bearer\r\n", b"Expect: 100-continue\r\n", b"Cookie: " + b"a=b; " * 100 + b"\r\n", b"Range: bytes=1-\r\n",
                      b"Accept-Encoding: gzip\r\n", b"X-Api-Key: \r\n", b"Origin: http://evil\r\n"])
    return message(path, b"", extra, method)


def any_of(r, paths):
    return r.choice([damaged, known, lambda r: strange(r, paths), lambda r: strange(r, paths), lambda r: head(r) if r.random() < 0.5 else deep(r)])(r)


# What is no HTTP, and what comes back: libmicrohttpd answers with a page of its own where it cannot read a head or a chunk, and says
# nothing where it waits for more. docs/serve.md names these cases; all others get an error object.
TOKENIZE = b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\n"
BROKEN = [
    ("page", {400}, b"GET /\r\n\r\n"), ("page", {400}, b"GET /health FOO\r\n\r\n"), ("page", {400}, b"get /health http/1.1\r\nHost: localhost\r\n\r\n"),
    ("page", {505}, b"GET / HTTP/9.9\r\n\r\n"), ("page", {505}, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("page", {400}, b"GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n"),
    ("page", {400}, TOKENIZE + b"Content-Length: -1\r\n\r\n"), ("page", {400}, TOKENIZE + b"Content-Length: 1x\r\n\r\n{"),
    ("page", {413}, TOKENIZE + b"Content-Length: 99999999999999999999999\r\n\r\n"),
    ("page", {400}, TOKENIZE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
    ("page", {413}, TOKENIZE + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"),
    ("page", {414, 431}, b"GET /" + b"a" * (180 << 10) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("page", {431}, b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 20000 + b"\r\n"),
    ("none", {0}, b"\r\n\r\n"), ("none", {0}, b"GET\r\n\r\n"), ("none", {0}, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"), ("none", {0}, b"\x00" * 1000 + b"\r\n\r\n"),
    ("none", {0}, TOKENIZE + b"Transfer-Encoding: gzip\r\n\r\n{}"),  # its end is not known
    ("none", {0}, b"GET /health?" + b"a&" * 30000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"),  # more arguments than it has memory for
    ("object", {431}, b"GET /" + b"a" * (80 << 10) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("object", {404}, b"GET  /x  HTTP/1.1\r\nHost: localhost\r\n\r\n"), ("object", {404}, b"GET /he\0alth HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("object", {405}, b"X /health HTTP/1.1\r\nHost: localhost\r\n\r\n"), ("object", {404}, b"GET /x HTTP/1.0\r\n\r\n"), ("object", {404}, b"GET /x HTTP/1.1\nHost: localhost\n\n"),
    ("object", {413}, TOKENIZE + b"Content-Length: 99999999\r\n\r\n"), ("object", {400}, TOKENIZE + b"Content-Length: 0\r\n\r\n"),
]


def sent(s, data):
    """What comes back, up to the end that --idle sets."""
    got = b""
    with socket.create_connection(("127.0.0.1", s.port), 600) as c:
        try:
            c.sendall(data)
        except OSError:
            pass  # it hung up while something was still to be read
        try:
            for part in iter(lambda: c.recv(65536), b""):
                got += part
        except OSError:
            pass
    return got


def answered(s, data):
    """The same of what is answered: on a busy machine a connection may be idle for as long as --idle allows before it has asked."""
    return next((got for got in (sent(s, data) for _ in range(5)) if got), b"")


def broken_heads(build):
    """Then the server is as before."""
    with Server(build, "-c", "128", "--idle", "2", "--body-most", "1") as s:
        for kind, statuses, data in BROKEN:
            got = sent(s, data) if kind == "none" else answered(s, data)
            status = int(got.split(b" ")[1]) if got else 0
            body = got.rpartition(b"\r\n\r\n")[2]
            seen = "none" if not got else "page" if body.startswith(b"<html>") else "object" if json.loads(body)["error"]["message"] else "?"
            true("%r: got %s %d: %r" % (data[:70], seen, status, body[:80]), seen == kind and status in statuses)
        true("then", b'{"status": "ok"}' in answered(s, b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))


def rss(s):
    with open("/proc/%d/status" % s.process.pid) as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) << 10


def malformed(s, n):
    """Returns the messages of the refusals that came."""
    r, raw, paths = random.Random(11), Raw(s), routes()
    statuses, said, early = {}, set(), 0
    for i in range(n):
        data = any_of(r, paths)
        got = raw.send(data)
        if got is None:
            true("an answer to %r" % data[:300], False)
            continue
        status, headers, body = got
        statuses[status] = statuses.get(status, 0) + 1
        true("an answer has a type: %r" % data[:100], "content-type" in headers)
        if headers.get("content-type", "").startswith("text/html") and body and not body.startswith(b"<!"):
            true("libmicrohttpd refuses: %r" % data[:100], status in (400, 413, 414, 431, 501, 505))
        elif headers.get("content-type") == "application/json" and body:
            answer = json.loads(body)
            true("an error object or an answer: %r: %r" % (data[:300], body[:100]), bool(answer.get("error")) == (status != 200))
            if status != 200:
                said.add(answer["error"]["message"])
        true("status %d of %r" % (status, data[:300]), status in (200, 400, 403, 404, 405, 413, 414, 431, 501, 505))
        if i == n // 2:
            early = rss(s)
    raw.close()
    true("all kinds of answers came: %s" % statuses, {200, 400, 404, 405} <= set(statuses))
    grown = rss(s) - early
    true("memory grew by %d KiB" % (grown >> 10), SANITIZED or grown < 4 << 20)
    return said


def resets(s, n):
    """Streams that are reset at random places."""
    r = random.Random(2)
    for _ in range(n):
        c = socket.create_connection(("127.0.0.1", s.port), 600)
        data = message(r.choice([C, C, CHAT]), json.dumps(dict(LONG, n=3)).encode())
        c.sendall(data[:r.randint(1, len(data))] if r.random() < 0.3 else data)
        if r.random() < 0.6:
            c.settimeout(0.02)
            try:
                c.recv(r.choice([1, 500, 20000]))
            except OSError:
                pass
        if r.random() < 0.7:
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.close()


def late_body(s, seconds):
    """What comes back when a body takes that long and then comes to its end; nothing: it was hung up."""
    with socket.create_connection(("127.0.0.1", s.port), 600) as c:
        begun, n = time.monotonic(), 1000
        c.sendall(b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % n)
        try:
            while time.monotonic() - begun < seconds:
                n -= c.send(b" ")
                time.sleep(0.2)
            for part in (b" " * (n - 1), b" "):
                c.sendall(part)
                time.sleep(0.05)
            return c.recv(4096)
        except OSError:
            return b""


def slow(build):
    """Heads and bodies that come a byte at a time, or stop."""
    with Server(build, "--slots", "1", "-c", "256", "--idle", "4") as s:
        data, open_ones = message(C, b'{"prompt": "sun"}'), []
        for n in (1, 30, len(data) - 1):
            for _ in range(20):
                c = socket.create_connection(("127.0.0.1", s.port), 600)
                c.sendall(data[:n])
                open_ones.append(c)
        dripping = socket.create_connection(("127.0.0.1", s.port), 600)
        dripping.settimeout(0.05)
        true("beside them", b"It shines." in answered(s, message(C, b'{"prompt": "sun"}', b"Connection: close\r\n")))
        dripping.sendall(b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
        got = b""
        while not got:  # the connection is never quiet for long, but the body takes longer than it may
            try:
                dripping.sendall(b" ")
                got = dripping.recv(4096) or b"closed"
            except socket.timeout:
                pass
            except OSError:
                got = b"closed"
        true("a body a byte at a time: %r" % got[:60], got == b"closed" or b" 408 " in got)
        dripping.close()
        # the server's four seconds begin when it has read the head, which a busy machine may put off; after eight it hangs up
        for seconds in (4.5, 4.5, 5.5, 5.5, 6.5, 6.5):
            got = late_body(s, seconds)
            if b" 408 " in got:
                break
        true("a late body is answered: %r" % got[:60], b" 408 " in got)
        for c in open_ones:
            c.settimeout(600)
            check("a slow sender", c.recv(4096), b"")
            c.close()
        check("the queue, the slots", (s.metric("requests_processing"), s.metric("requests_deferred")), (0, 0))


def idle(build):
    """1,000 connections that ask for nothing, where 50 may be open: who asks is answered. Then 50 that do ask, and one more."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    n = 1000 if hard == resource.RLIM_INFINITY or hard > 2200 else 300
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096) if hard != resource.RLIM_INFINITY else 4096, hard))
    with Server(build, "--slots", "1", "-c", "512", "--connections", "50", "--queue", "200") as s:
        kept = s.connect()
        kept.request("POST", C, json.dumps(dict(LONG, n=20)))  # it is at work meanwhile
        many = [socket.create_connection(("127.0.0.1", s.port), 600) for _ in range(n)]
        check("among %d idle connections" % n, s.get("/health"), {"status": "ok"})
        check("and a text", s.post(C, {"prompt": "sun"})["choices"][0]["text"], "It shines.")
        true("the one at work stays", kept.getresponse().read().endswith(b"data: [DONE]\n\n"))
        kept.close()
        open_ones = 0
        for c in many:
            c.setblocking(False)
            try:
                open_ones += c.recv(1) != b""
            except BlockingIOError:
                open_ones += 1
            except OSError:
                pass
        true("%d of them are open" % open_ones, open_ones <= 50 + 64)
        for c in many:
            c.close()
        data = message(C, json.dumps(LONG).encode())
        asking = []

        def ask():
            asking.append(socket.create_connection(("127.0.0.1", s.port), 600))
            asking[-1].sendall(data)

        for _ in range(49):
            ask()
        s.until("all ask", lambda: s.metric("requests_processing") + s.metric("requests_deferred") == 49)
        ask()
        while s.ask("GET", "/health")[0] == 200:  # its request was not read yet, so it had to go
            ask()
            time.sleep(0.01)
        status, headers, body = s.ask("POST", C, {"prompt": "sun"})
        check("one too many", (status, headers.get("Retry-After"), json.loads(body)["error"]["code"]), (503, "1", "too_many_connections"))
        for c in asking:
            c.close()
        s.until("they are gone", lambda: idle_now(s))
        check("then", s.post(C, {"prompt": "sun"})["choices"][0]["text"], "It shines.")


def idle_now(s):
    return (s.ask("GET", "/slots")[0] == 200 and not any(v["is_processing"] for v in s.get("/slots")) and
            s.metric("requests_processing") == 0 and s.metric("requests_deferred") == 0)


def full_queue(s, n):
    """More requests at once than may wait."""
    got, body = [], {"prompt": "count", "ignore_eos": True, "n": 3}
    threads = [threading.Thread(target=lambda: got.append(s.ask("POST", C, body))) for _ in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    statuses = [g[0] for g in got]
    true("statuses %s" % statuses, len(got) == n and set(statuses) <= {200, 429} and 200 in statuses)
    texts = {g[2][g[2].index('"choices"'):g[2].index('"usage"')] for g in got if g[0] == 200}
    check("one answer", len(texts), 1)
    true("when to come again", all(g[1].get("Retry-After") == "1" for g in got if g[0] == 429))


# ---- every refusal of the sources is reached

# What this server's model and settings cannot say; others say why in the test that does.
ELSEWHERE = [
    "the model has no tokenizer", "has no tokenizer", "has no chat template", "makes vectors, not text",  # other models
    "took longer than", "the server is about to end", "requests wait for a slot", "connections are open",  # above, and clients.py
    "expected one of the server's keys", "got a body of more than", "got a head of", "got the header", "got no body", "makes no vectors", "goes with no other",
]


def reached(said):
    """Formats of refusals in the sources that no message so far is of."""
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../frontends/serve")
    missing = []
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".c") or name == "batch.c":
            continue
        with open(os.path.join(folder, name)) as f:
            text = f.read()
        for call in re.finditer(r"tn_call_refuse\(((?:[^;\"]|\"(?:[^\"\\]|\\.)*\")*)\);", text):
            form = form_of(call.group(1))
            if not form or any(e in form for e in ELSEWHERE):
                continue
            pattern = "".join(".*" if part.startswith("%") else re.escape(part) for part in re.split(r"(%(?:\.\*|\.\d+)?(?:ll|z)?[a-z])", form))
            if re.fullmatch(r"(%s|[: ])*", form):
                continue  # all of it is another part's text
            if not any(re.fullmatch(pattern, m, re.S) for m in said):
                missing.append("%s: %s" % (name, form))
    return missing


def form_of(arguments):
    """The format of a refusal, which is its fifth argument; "" if that is made of parts."""
    parts, depth = [""], 0
    for token in re.findall(r'"(?:[^"\\]|\\.)*"|.', arguments, re.S):
        depth += (token in "([{") - (token in ")]}")
        if token == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += token
    return "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', parts[4])).replace('\\"', '"') if "?" not in re.sub(r'"(?:[^"\\]|\\.)*"', "", parts[4]) else ""


def main():
    build, n = sys.argv[1], int(os.environ.get("TERN_ABUSE", "600"))
    with Server(build, "-c", "128", "--slots", "2", "--queue", "3", "--body-most", "1") as s:
        os.unlink(s.folder.name + "/m.gguf")  # it is mapped
        said = malformed(s, n)
        for path, body in REFUSED:
            answer = json.loads(s.ask("POST", path, body)[2])
            said.add(answer["error"]["message"])
        resets(s, max(40, n // 100))
        full_queue(s, 12)
        s.until("no slot is stuck", lambda: idle_now(s))
        check("after all of it", s.post(C, {"prompt": "sun"})["choices"][0]["text"], "It shines.")
        true("refusals are counted", s.metric(r'responses_total\{code="400"\}') > n / 10)
    with Server(build, "-c", "128", "--pooling", "mean") as s:
        said |= {json.loads(s.ask("POST", path, body)[2])["error"]["message"] for path, body, *_ in errors.VECTORS}
    check("refusals that nothing here reaches", reached(said), [])
    broken_heads(build)
    slow(build)
    idle(build)
    finish("abuse")


if __name__ == "__main__":
    main()
