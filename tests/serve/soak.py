"""A long run of tern serve with the embedded model among eight clients: damaged requests, streams that are read or reset, chats,
vectors. Its resident memory, sampled every 30 seconds, must be flat: after a third of the time, in which caches fill, it grows by less
than 4 MiB. TERN_SOAK=SECONDS (default 1800)."""
import http.client, json, os, random, sys, threading, time
import abuse
from client import Server, check, finish, true

SECONDS, CLIENTS, EVERY = int(os.environ.get("TERN_SOAK", "1800")), 8, 30
WORDS = "and the king of all that is said unto him in a day when".split()


def use(s, r):
    """An answer that is read to its end, in one of the shapes."""
    text = " ".join(r.choice(WORDS) for _ in range(r.choice([2, 8, 60])))
    body = {"seed": r.randrange(9), "max_tokens": r.randint(1, 24), "stream": r.random() < 0.5}
    if r.random() < 0.2:
        body["json_schema"] = {"type": "object", "properties": {"a": {"type": "integer", "maximum": 9}}, "required": ["a"], "additionalProperties": False}
    kind = r.randrange(3)
    if kind == 0:
        return s.ask("POST", "/v1/embeddings", {"input": [text] * r.randint(1, 20)})[0]
    if kind == 1:
        return s.ask("POST", abuse.C, dict(body, prompt=text, n=r.randint(1, 3)))[0]
    return s.ask("POST", abuse.CHAT, dict(body, messages=[{"role": "user", "content": text}], logprobs=r.random() < 0.3))[0]


def client(s, k, over, counts):
    r, raw, paths = random.Random(k), abuse.Raw(s), abuse.routes()
    while not over.is_set():
        kind = r.random()
        try:
            if kind < 0.6:
                status = (raw.send(abuse.any_of(r, paths)) or (0,))[0]
            elif kind < 0.7:
                abuse.resets(s, 1)
                status = "reset"
            elif kind < 0.75:
                status = s.ask("GET", r.choice(["/metrics", "/slots", "/props", "/", "/v1/models"]))[0]
            else:
                status = use(s, r)
        except (OSError, ValueError, http.client.HTTPException) as e:
            status = type(e).__name__
        counts[status] = counts.get(status, 0) + 1
    raw.close()


def soak(s):
    over, counts, samples, begun = threading.Event(), [{} for _ in range(CLIENTS)], [], time.monotonic()
    clients = [threading.Thread(target=client, args=(s, k, over, counts[k])) for k in range(CLIENTS)]
    for t in clients:
        t.start()
    while not samples or time.monotonic() - begun < SECONDS:
        time.sleep(min(EVERY, max(1, SECONDS / 12)))
        samples.append(abuse.rss(s))
        print("%5d s  %7d KiB  %7d requests" % (time.monotonic() - begun, samples[-1] >> 10, sum(sum(c.values()) for c in counts)), flush=True)
        if s.process.poll() is not None:
            break
    over.set()
    for t in clients:
        t.join()
    return samples, {k: sum(c.get(k, 0) for c in counts) for k in sorted({k for c in counts for k in c}, key=str)}


def main():
    flags = ["--slots", "4", "-c", "256", "--pooling", "mean", "-t", "1", "--max-pause-ms", "20", "--queue", "8"]
    with Server(sys.argv[1], *flags, make=lambda build, folder, script: ("--temp=0.8", ["--chat-template", "chatml"])) as s:
        samples, counts = soak(s)
        print("answers by status:", ", ".join("%s %d" % c for c in counts.items()))
        late = samples[len(samples) // 3:]
        grown = late[-1] - late[0]
        print("memory: %d KiB after a third, %d at the end, at most %d" % (late[0] >> 10, late[-1] >> 10, max(late) >> 10))
        true("memory grew by %d KiB" % (grown >> 10), grown < 4 << 20)
        true("answers of most kinds: %s" % counts, {200, 400} <= set(counts) and counts[200] > 10)
        s.until("no slot is stuck", lambda: abuse.idle_now(s))
        check("no memory is missed", s.ask("POST", abuse.C, {"prompt": "sun", "max_tokens": 4, "temperature": 0})[0], 200)
    finish("soak")


main()
