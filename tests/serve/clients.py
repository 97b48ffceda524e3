"""Clients of tern serve that hang up, read slowly or come in crowds; keys, sockets, and how a server ends."""
import fcntl, json, os, re, signal, socket, subprocess, sys, tempfile
from client import Server, check, finish, make_model, true

C = "/v1/completions"
SHORT = {"prompt": "sun"}
# A request that runs to the end of its context; its client hangs up first. In a context that is DEEP, that is longer than any test
# takes, even if the test is paused and its server is not.
LONG = {"prompt": "count", "ignore_eos": True, "n": 100}
DEEP = ["-c", "65536", "--override-kv", "llama.context_length=int:65536"]
# A few, of which each piece is long: a stream of them is more than sockets hold.
LARGE, WIDE = {"prompt": "wide", "ignore_eos": True, "n": 6, "stream": True}, "say wide: " + "|".join(["x" * 8000] * 100) + "\n"


def text(s, body=SHORT):
    return s.post(C, body)["choices"][0]["text"]


def send(s, body, path=C, receive=None):
    c = socket.socket()
    if receive:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    c.settimeout(600)
    c.connect(("127.0.0.1", s.port))
    data = json.dumps(body).encode()
    c.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(data)) + data)
    return c


def read_all(c):
    got = b""
    while True:
        part = c.recv(1 << 16)
        if not part:
            return got
        got += part


def busy(s):
    return sum(v["is_processing"] for v in s.get("/slots"))


def hang_ups(s):
    for stream in (True, False):
        before = s.metric("requests_hung_up_total")
        c = send(s, dict(LONG, stream=stream))
        if stream:
            true("a stream begins", c.recv(1000).startswith(b"HTTP/1.1 200"))
        s.until("a slot is taken", lambda: busy(s) == 1)
        c.close()
        s.until("a hang-up frees the slot (stream %s)" % stream, lambda: busy(s) == 0)
        check("it is counted", s.metric("requests_hung_up_total"), before + 1)
        check("another is answered", text(s), "It shines.")
    for stream in (True, False):
        c = send(s, dict(LONG, stream=stream))
        s.until("a slot is taken", lambda: busy(s) == 1)
        c.shutdown(socket.SHUT_WR)
        got = read_all(c)
        c.close()
        said = b'{"error": {"message": "the client closed its side of the connection", "type": "invalid_request_error", "param": null, "code": "client_closed"}}'
        # where the library sees that end before the server says this, it closes the connection
        whole = said + b"\n\n" in got and got.startswith(b"HTTP/1.1 200") if stream else got.startswith(b"HTTP/1.1 499") and got.endswith(said + b"\n")
        true("who still reads learns that, or the answer breaks off: %r" % got[-300:], whole or (said not in got and b"[DONE]" not in got))
    c = send(s, dict(LONG, stream=True))
    c.recv(1000)
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    c.close() # a reset
    s.until("a reset frees the slot", lambda: busy(s) == 0)


def full_queue(s):
    a = send(s, dict(LONG, stream=True))
    s.until("one runs", lambda: busy(s) == 1)
    b = send(s, LONG)
    s.until("one waits", lambda: s.metric("requests_deferred") == 1)
    status, headers, body = s.ask("POST", C, SHORT)
    check("the queue is full", (status, headers.get("Retry-After"), json.loads(body)["error"]["code"]), (429, "1", "queue_full"))
    check("its type", json.loads(body)["error"]["type"], "rate_limit_error")
    check("it is counted", s.metric("requests_refused_total"), 1)
    check("what needs no slot is answered", s.post("/tokenize", {"content": "a"})["tokens"], s.post("/tokenize", {"content": "a"})["tokens"])
    b.close() # it waits still
    s.until("a hang-up frees the queue", lambda: s.metric("requests_deferred") == 0)
    a.close()
    s.until("and the slot", lambda: busy(s) == 0)


def no_queue(s):
    """--queue 0: a free slot is taken, and nobody waits."""
    for _ in range(3):
        check("a slot is free", text(s), "It shines.")
    runs = [send(s, LONG) for _ in range(2)]
    s.until("both slots are taken", lambda: busy(s) == 2)
    status, _, body = s.ask("POST", C, SHORT)
    check("none is free", (status, json.loads(body)["error"]["message"]),
          (429, "all slots are taken and 0 requests wait for a slot, expected at most that"))
    for c in runs:
        c.close()
    s.until("they are free again", lambda: s.metric("requests_processing") + s.metric("requests_deferred") == 0)
    check("then", text(s), "It shines.")


def vectors_aside(s):
    """Between two steps come the vectors of as many texts as there are slots, however many requests ask for some."""
    made = lambda: [float(re.search(r"^tern_%s (\S+)$" % n, page, re.M).group(1)) for page in [s.ask("GET", "/metrics")[2]]
                    for n in ("embeddings_total", "n_decode_total")]
    run = send(s, LONG)
    s.until("a slot is taken", lambda: busy(s) > 0)
    seen = [made()]
    asks = [send(s, {"input": ["sun", "hi"] * 100}, "/v1/embeddings") for _ in range(6)]
    s.until("all vectors come", lambda: seen.append(made()) or seen[-1][0] == seen[0][0] + 1200)
    true("the answer is made meanwhile", s.metric("requests_processing") >= 1)
    for a, b in zip(seen, seen[1:]):
        true("between %s and %s" % (a, b), b[0] - a[0] <= 2 * (b[1] - a[1] + 1))
    for c in asks:
        got = read_all(c)
        true("all of them", got.startswith(b"HTTP/1.1 200") and got.count(b'"embedding": [') == 200)
        c.close()
    run.close()
    s.until("the slot is free", lambda: busy(s) == 0)


def vectors_in_steps(s):
    """Beside answers, vectors are made in steps of few rows: the first has 16 until it is known how long rows take. They are the same."""
    body = {"input": ["and the king of all that is said " * 12, "unto him in a day when " * 15]}
    alone, before = s.post("/v1/embeddings", body)["data"], s.metric("embedding_steps_total")
    run = send(s, LONG)
    s.until("a slot is taken", lambda: busy(s) > 0)
    steps = s.metric("n_decode_total")
    aside = s.post("/v1/embeddings", body)["data"]
    made = s.metric("embedding_steps_total") - before
    check("the same vectors", aside, alone)
    true("%d steps" % made, made >= 2)
    true("with steps of the answer in between", s.metric("n_decode_total") - steps >= made - 1 and s.metric("requests_processing") == 1)
    c = send(s, {"input": ["sun " * 100] * 1000}, "/v1/embeddings")
    s.until("vectors come", lambda: s.metric("embedding_steps_total") > before + made)
    c.close()
    s.until("a client that hung up gets no more", lambda: s.metric("requests_processing") + s.metric("requests_deferred") == 1)
    check("then", s.post("/v1/embeddings", body)["data"], alone)
    run.close()


def slow_reader(s):
    c = send(s, LARGE, receive=4096)
    c.recv(100)
    check("beside a client that does not read", text(s), "It shines.")
    s.until("its answer is made without it", lambda: s.metric("requests_processing") == 0)
    check("then", text(s), "It shines.")
    c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20) # the rest would take long through a buffer that small
    got = read_all(c)
    c.close()
    true("it finds all when it reads", b"data: [DONE]\n\n" in got and got.count(b'"finish_reason": "length"') == 6)
    true("all is much", len(got) > 5 << 20)


def fair(s):
    """With keys: of a client that sends much and one that sends little the second does not wait for all of the first."""
    mine, other = {"Authorization": "Bearer one"}, {"Authorization": "Bearer two"}
    number = lambda name: [float(line.split()[1]) for line in s.ask("GET", "/metrics", headers=mine)[2].splitlines() if line.startswith("tern_%s " % name)][0]
    heavy = [s.connect() for _ in range(6)]
    for c in heavy:
        c.request("POST", C, json.dumps(LONG), mine)
    s.until("the heavy client waits", lambda: number("requests_deferred") == 5)
    check("the light client is answered", s.ask("POST", C, SHORT, other)[0], 200)
    check("and the heavy client is not yet", (number("requests_processing"), number("requests_deferred")), (1, 5))
    for c in heavy:
        c.close()
    s.until("they are gone", lambda: number("requests_processing") + number("requests_deferred") == 0)


def keys(build):
    with open(os.environ.get("TMPDIR", "/tmp") + "/keys.%d" % os.getpid(), "w") as f:
        f.write("# two\none\n  two \r\n")
    try:
        with Server(build, "--slots", "1", "-c", "2048", "--api-key", f.name) as s:
            for headers in ({}, {"Authorization": "Bearer on"}, {"Authorization": "Bearer onee"}, {"Authorization": "one"}, {"x-api-key": "zwo"}):
                status, got, body = s.ask("POST", C, SHORT, headers)
                check("%s" % headers, (status, json.loads(body)["error"]["code"], got.get("WWW-Authenticate")), (401, "invalid_api_key", "Bearer"))
            for headers in ({"Authorization": "Bearer one"}, {"authorization": "bearer two"}, {"x-api-key": "two"}):
                check("%s" % headers, s.ask("POST", C, SHORT, headers)[0], 200)
            check("health asks for none", s.ask("GET", "/health")[0], 200)
            check("metrics do", s.ask("GET", "/metrics")[0], 401)
            fair(s)
    finally:
        os.unlink(f.name)


def deadline(build):
    """On a busy machine a short answer may take as long, and a stream may be late before it has begun: both are asked for again."""
    with Server(build, "--slots", "1", "-c", "512", "--deadline", "0.2") as s:
        status, _, body = s.ask("POST", C, LONG)
        check("a deadline", (status, json.loads(body)["error"]["code"]), (504, "deadline"))
        late = b'data: {"error": {"message": "the answer took longer than 0.2 seconds'

        def streamed():
            got = read_all(send(s, dict(LONG, stream=True)))
            true("a deadline in a stream: %r" % got[-300:], b"[DONE]" not in got and (got.startswith(b"HTTP/1.1 504") or got.startswith(b"HTTP/1.1 200") and late in got))
            return got.startswith(b"HTTP/1.1 200")
        s.until("a stream that had begun", streamed)

        def then():
            status, _, body = s.ask("POST", C, SHORT)
            check("then", (status, json.loads(body)["error"]["code"] if status == 504 else json.loads(body)["choices"][0]["text"]),
                  (status, "deadline" if status == 504 else "It shines."))
            return status == 200
        s.until("an answer in time", then)


def memory(build):
    """Stored beginnings have pages of their own, unless the limit on memory leaves none."""
    for flags, pages in (([], 32 * 32 + 64 * 32 // 4), (["--stored", "0"], 32 * 32), (["--memory-limit", "21M"], 32 * 32)):
        with Server(build, "--slots", "32", "-c", "2048", *flags) as s:
            check("pages with %s" % flags, (s.metric("pages"), s.metric("pages_free")), (pages, pages))
            check("an answer", text(s), "It shines.")
            check("a beginning is stored", s.metric("prefix_stored"), 0 if "0" in flags else 1)
    with tempfile.TemporaryDirectory() as folder:
        model, flags = make_model(build, folder)
        p = subprocess.run([build + "/tern", "serve", model, "--slots", "32", "-c", "2048", "--memory-limit", "9M"] + flags, stderr=subprocess.PIPE, text=True)
        true("the slots of the message are those that were asked for: " + p.stderr,
             p.returncode == 1 and " MB for the cache of 32 slots of 2048 positions, " in p.stderr)


def origins(build):
    """Pages of other origins read nothing, unless --cors names theirs."""
    page = {"Origin": "https://a.example"}
    asks = dict(page, **{"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,x-stainless-os"})
    allow = lambda headers: {k: v for k, v in headers.items() if k.startswith("Access-Control") or k == "Vary"}
    with Server(build, "--slots", "1", "-c", "512") as s:
        check("none by default", allow(s.ask("POST", C, SHORT, page)[1]), {})
        check("nor for who asks first", s.ask("OPTIONS", C, None, asks)[0], 405)
        check("a page reads the state without an answer to it", s.ask("GET", "/health", headers=page)[0], 200)
        port, here = s.port, lambda host, scheme="http": {"Origin": "%s://%s" % (scheme, host), "Host": host}
        for headers in (page, {"Origin": "null"}, {"Origin": "http://127.0.0.1"}, dict(here("localhost"), Host="127.0.0.1"), {"Origin": ""}):
            status, _, body = s.ask("POST", C, SHORT, headers)
            check("%s" % headers, (status, [json.loads(body)["error"][k] for k in ("type", "code")]), (403, ["permission_error", "forbidden_origin"]))
        for headers in (here("127.0.0.1:%d" % port), here("localhost:%d" % port), here("localhost", "https"), here("[::1]:%d" % port), {"Host": "LOCALHOST"}):
            check("%s" % headers, s.ask("POST", C, SHORT, headers)[0], 200)
        for host in ("evil.example", "evil.example:%d" % port, "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1:80.evil.example", "[::1", "[x]", "::1", ""):
            for method, path in (("POST", C), ("GET", "/slots")):
                status, _, body = s.ask(method, path, SHORT if method == "POST" else None, dict(here(host)))
                check("%s with Host '%s'" % (path, host), (status, json.loads(body)["error"]["code"]), (403, "forbidden_host"))
    with Server(build, "--slots", "1", "-c", "512", "--host", "0.0.0.0") as s:
        check("a host of a server on the network", s.ask("POST", C, SHORT, {"Host": "a.example", "Origin": "http://a.example"})[0], 200)
        check("another origin there", s.ask("POST", C, SHORT, page)[0], 403)
    for origin in ("https://a.example", "*"):
        with Server(build, "--slots", "1", "-c", "512", "--cors", origin) as s:
            status, headers, _ = s.ask("POST", C, SHORT, page)
            check("an answer", (status, allow(headers)), (200, {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}))
            check("an error", allow(s.ask("POST", C, {}, page)[1]), {"Access-Control-Allow-Origin": origin, "Vary": "Origin"})
            check("without an origin", allow(s.ask("POST", C, SHORT)[1]), {"Vary": "Origin"})
            check("its host", s.ask("POST", C, SHORT, {"Host": "a.example"})[0], 200)
            check("another host", s.ask("POST", C, SHORT, {"Host": "b.example"})[0], 200 if origin == "*" else 403)
            check("another origin", s.ask("POST", C, SHORT, {"Origin": "https://b.example"})[0], 200 if origin == "*" else 403)
            status, headers, body = s.ask("OPTIONS", C, None, asks)
            check("who asks first", (status, body, allow(headers)), (204, "", {
                "Access-Control-Allow-Origin": origin, "Access-Control-Allow-Methods": "GET, POST", "Access-Control-Max-Age": "3600",
                "Access-Control-Allow-Headers": "authorization,x-stainless-os", "Vary": "Origin"}))
            other = s.ask("OPTIONS", C, None, dict(asks, Origin="https://b.example"))[0]
            check("of another origin", other, 204 if origin == "*" else 405)
    for wrong in ("a.example", "https://a.example/", "https://a.example, https://b.example"):
        p = subprocess.run([build + "/tern", "serve", "m", "--cors", wrong], stderr=subprocess.PIPE, text=True)
        check("--cors '%s'" % wrong, (p.returncode, "expected an origin such as" in p.stderr), (2, True))


def unix(build):
    path = os.environ.get("TMPDIR", "/tmp") + "/s.%d" % os.getpid()
    with socket.socket(socket.AF_UNIX) as left: # as a server that was killed leaves it
        left.bind(path)
    with Server(build, unix=path) as s:
        check("by a unix socket", text(s), "It shines.")
        check("where names and origins are a proxy's task", s.ask("POST", C, SHORT, {"Host": "a.example", "Origin": "https://b.example"})[0], 200)
    true("it is gone", not os.path.exists(path))
    with tempfile.TemporaryDirectory() as folder:
        model, flags = make_model(build, folder)
        other = folder + "/other"
        for place, why in ((other, "got a file that is no socket"), (model, "is the same file as")):
            if place == other:
                open(other, "w").write("kept")
            before = open(place, "rb").read()
            p = subprocess.run([build + "/tern", "serve", model, "--socket", place] + flags, stderr=subprocess.PIPE, text=True)
            check("a file in the place of a socket: " + p.stderr, (p.returncode, why in p.stderr, p.stderr.count("\n")), (1, True, 1))
            check("it stays", open(place, "rb").read(), before)


def drain(build):
    with Server(build, "--slots", "1", *DEEP) as s:
        c = send(s, dict(LONG, stream=True, n=2, max_tokens=500))
        c.recv(1)
        long = send(s, LONG) # so that the server has work until this test has looked at all
        s.until("the other waits or runs", lambda: s.metric("requests_deferred") == 1 or s.metric("queue_seconds_count") == 2)
        s.process.send_signal(signal.SIGTERM)
        s.until("it is not ready any more", lambda: s.ask("GET", "/ready")[0] == 503)
        status, headers, body = s.ask("POST", C, SHORT)
        check("no new work", (status, headers.get("Retry-After"), json.loads(body)["error"]["code"]), (503, "5", "draining"))
        got = read_all(c)
        c.close()
        long.close()
        true("what runs ends", b"data: [DONE]\n\n" in got and got.count(b'"finish_reason": "length"') == 2)
        check("the end", s.process.wait(600), 0)


def log(build):
    with Server(build, "--slots", "1", "-c", "512", "--log", "json") as s:
        check("an answer", text(s, {"prompt": "the sun"}), "It shines.")
        s.ask("GET", "/secret")
        s.ask("POST", "/health", {})
        s.ask("GET", "/health", None, {"Host": "a.example"})
        lines = [json.loads(s.process.stderr.readline()) for _ in range(4)]
        check("lines of the log", [(x["client"], x["method"], x["path"], x["status"], x["prompt_tokens"], x["completion_tokens"]) for x in lines],
              [("127.0.0.1", "POST", C, 200, 5, 4), ("127.0.0.1", "-", "-", 404, 0, 0),
               ("127.0.0.1", "-", "-", 405, 0, 0), ("127.0.0.1", "GET", "/health", 403, 0, 0)])
        true("nothing of the request", "sun" not in str(lines) and "secret" not in str(lines))


def full_log(build):
    """Standard error is a pipe that nobody reads: answers go on, lines are lost and counted, and the end is not held up."""
    with Server(build, "--slots", "1", "-c", "512", "--log", "json") as s:
        fcntl.fcntl(s.process.stderr, 1031, 4096)  # F_SETPIPE_SZ
        c, n = s.connect(), 0
        while n < 200 or s.metric("log_lines_lost_total") < 10:
            for _ in range(100):
                c.request("GET", "/health")
                n += c.getresponse().read() == b'{"status": "ok"}\n'
        c.close()
        lost = s.metric("log_lines_lost_total")
        true("more than 256 KiB of lines were kept: %d of %d lost" % (lost, n), n - lost > (256 << 10) / 250)
        check("an answer beside them", text(s), "It shines.")
        fd = s.process.stderr.fileno()
        os.set_blocking(fd, False)
        seen = b""

        def read():
            nonlocal seen
            try:
                seen += os.read(fd, 1 << 16)
            except BlockingIOError:
                pass
            return seen.count(b"\n") >= n - lost and seen.endswith(b"\n")

        s.until("those that waited come", read)
        lines = [json.loads(line) for line in seen.splitlines()]
        check("whole lines", {x["status"] for x in lines}, {200})
        c = s.connect()
        for _ in range(100):
            c.request("GET", "/health")
            c.getresponse().read()
        c.close()


def main():
    build = sys.argv[1]
    with Server(build, "--slots", "1", "--queue", "1", *DEEP) as s:
        hang_ups(s)
        full_queue(s)
    with Server(build, "--slots", "2", "--queue", "0", *DEEP) as s:
        no_queue(s)
    with Server(build, "--slots", "2", "--pooling", "mean", *DEEP) as s:
        vectors_aside(s)
    with Server(build, "--slots", "2", "--pooling", "mean", *DEEP, "--max-pause-ms", "1") as s:
        vectors_in_steps(s)
    with Server(build, "--slots", "2", "-c", "128", script=WIDE) as s:
        slow_reader(s)
    keys(build)
    deadline(build)
    log(build)
    full_log(build)
    memory(build)
    origins(build)
    unix(build)
    drain(build)
    finish("clients")


main()
