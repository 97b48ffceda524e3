"""Two servers behind HAProxy with docs/deploy/haproxy.cfg. While clients ask, one server is drained or killed: no answer is lost, and
each is what one server alone gives. Requests that begin alike go to one server."""
import http.client, json, os, random, signal, socket, subprocess, sys, tempfile, threading
from client import Server, check, finish, fixed, true

C, CHAT = "/v1/completions", "/v1/chat/completions"
CONFIG = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/deploy/haproxy.cfg")


class Balanced:
    """HAProxy before two servers."""

    def __init__(self, a, b):
        self.servers, self.log = {"TERN_A": "127.0.0.1:%d" % a.port, "TERN_B": "127.0.0.1:%d" % b.port}, tempfile.TemporaryFile()

    def start(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        env = dict(os.environ, TERN_LISTEN="127.0.0.1:%d" % self.port, **self.servers)
        self.process = subprocess.Popen(["haproxy", "-db", "-f", CONFIG], env=env, stdout=self.log, stderr=self.log)

    def ask(self, path, body):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        try:
            c.request("POST", path, json.dumps(body))
            r = c.getresponse()
            return r.status, json.loads(r.read())
        finally:
            c.close()

    def __enter__(self):
        for _ in range(20):  # somebody else may take the port before it does
            self.start()
            while self.process.poll() is None:
                try:
                    if self.ask("/tokenize", {"content": "a"})[0] == 200:
                        return self
                except (OSError, ValueError, http.client.HTTPException):
                    pass
        self.log.seek(0)
        raise SystemExit("haproxy did not start: %s" % self.log.read())

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()


def requests(n):
    r = random.Random(4)
    out = []
    for i in range(n):
        body = {"temperature": r.choice([0, 1]), "seed": i, "n": r.choice([1, 3]), "max_tokens": r.choice([3, 60]), "ignore_eos": r.random() < 0.5}
        text = "%d %s" % (r.randrange(9), r.choice(["sun", "count", "split", "hi"]))
        out.append((C, dict(body, prompt=text)) if r.random() < 0.5 else (CHAT, dict(body, messages=[{"role": "user", "content": text}])))
    return out


def answered(s):
    """Without what needed no slot, such as HAProxy's checks, which come as time goes by."""
    return s.metric("queue_seconds_count")


def together(build, all_of_them, alone, how):
    """Asks all while one of the two servers goes."""
    flags = ["--slots", "2", "-c", "256", "--queue", "1000"]
    with Server(build, *flags) as a, Server(build, *flags) as b, Balanced(a, b) as both:
        got, done = [None] * len(all_of_them), threading.Semaphore(0)

        def worker(k):
            for i in range(k, len(all_of_them), 6):
                try:
                    got[i] = both.ask(*all_of_them[i])
                except (OSError, http.client.HTTPException) as e:
                    got[i] = (0, repr(e))
                done.release()

        threads = [threading.Thread(target=worker, args=(k,)) for k in range(6)]
        for t in threads:
            t.start()
        for _ in range(len(all_of_them) // 3):
            done.acquire()
        before = answered(a)
        a.process.send_signal(how)
        for t in threads:
            t.join()
        true("the server had work: %d" % before, before > 3)
        for (path, body), g, expected in zip(all_of_them, got, alone):
            check("%s %s with %s" % (path, body, how.name), (g[0], fixed(g[1])), (200, expected))
        if how == signal.SIGKILL:
            check("it is dead", a.process.wait(600), -signal.SIGKILL)
            a.process = subprocess.Popen(["true"], stderr=subprocess.PIPE)  # for the end of `with`
        else:
            check("it ended in order", a.process.wait(600), 0)


def stickiness(build):
    with Server(build, "--slots", "2", "-c", "2048") as a, Server(build, "--slots", "2", "-c", "2048") as b, Balanced(a, b) as both:
        def shares(bodies):
            before = answered(a), answered(b)
            for body in bodies:
                check("an answer", both.ask(C, body)[0], 200)
            return answered(a) - before[0], answered(b) - before[1]

        x, y = shares([{"prompt": "same " * 120 + "%d" % i, "max_tokens": 1} for i in range(20)])
        true("the same beginning: %d and %d" % (x, y), min(x, y) <= 2 and x + y == 20)
        x, y = shares([{"prompt": "%d other " % i * 120, "max_tokens": 1} for i in range(40)])
        true("other beginnings: %d and %d" % (x, y), min(x, y) > 5 and x + y == 40)


def main():
    build, all_of_them = sys.argv[1], requests(int(os.environ.get("TERN_BALANCE", "120")))
    with Server(build, "--slots", "1", "-c", "256") as s:
        alone = [fixed(s.post(*q)) for q in all_of_them]
    for how in (signal.SIGTERM, signal.SIGKILL):
        together(build, all_of_them, alone, how)
    stickiness(build)
    finish("balance")


main()
