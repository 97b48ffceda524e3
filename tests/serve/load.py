"""An answer of tern serve is the same whatever else the server does: requests alone, and then among clients that come, go and
hang up. TERN_LOAD=N: N requests (default 40)."""
import os, random, sys, threading
from client import Server, check, finish, fixed, true

C, CHAT = "/v1/completions", "/v1/chat/completions"


def requests(n):
    r = random.Random(7)
    out = []
    for i in range(n):
        word = r.choice(["sun", "count", "split", "pick", "json", "hi", "broken"])
        text = " ".join(r.choice(["a", "bc", "def"]) for _ in range(r.choice([0, 3, 40]))) + " " + word
        body = {"temperature": r.choice([0, 1]), "seed": i, "n": r.choice([1, 1, 1, 3]), "max_tokens": r.choice([2, 20, 100]),
                "ignore_eos": r.random() < 0.3}
        if word == "json":
            body.update(response_format={"type": "json_object"}, ignore_eos=False)
        if r.random() < 0.2:
            body["logprobs"] = 2
        if r.random() < 0.2:
            body["stop"] = ["o t", "."]
        path = r.choice([C, CHAT])
        if path == CHAT and "logprobs" in body:
            body.update(logprobs=True, top_logprobs=2)
        body.update({"prompt": text} if path == C else {"messages": [{"role": "user", "content": text}]})
        out.append((path, body, r.random() < 0.5))
    return out


def answer(s, path, body, stream):
    if not stream:
        return fixed(s.post(path, body))
    return fixed(s.stream(path, dict(body, stream_options={"include_usage": True})))


def visitor(s, seed, stop):
    r = random.Random(seed)
    while not stop.is_set():
        c = s.connect()
        try:
            body = '{"prompt": "count", "ignore_eos": true, "n": %d, "stream": true, "max_tokens": 60}' % r.randint(1, 4)
            c.request("POST", C, body)
            c.getresponse().read(r.choice([1, 2000, 1 << 20]))
        except OSError:
            pass
        finally:
            c.close()


def main():
    all_of_them = requests(int(os.environ.get("TERN_LOAD", "40")))
    with Server(sys.argv[1], "--slots", "1", "-c", "256") as s:
        alone = [answer(s, *q) for q in all_of_them]
    for slots, flags in ((8, ["--draft-max", "3"]), (3, ["--stored", "2", "--max-pause-ms", "1"])):
        with Server(sys.argv[1], "--slots", str(slots), "-c", "256", "--queue", "1000", *flags) as s:
            stop, got = threading.Event(), [None] * len(all_of_them)
            visitors = [threading.Thread(target=visitor, args=(s, k, stop)) for k in range(6)]

            def worker(k):
                for i in range(k, len(all_of_them), 4):
                    got[i] = answer(s, *all_of_them[i])

            workers = [threading.Thread(target=worker, args=(k,)) for k in range(4)]
            for t in visitors + workers:
                t.start()
            for t in workers:
                t.join()
            stop.set()
            for t in visitors:
                t.join()
            for q, a, b in zip(all_of_them, alone, got):
                check("%s among others, %d slots" % (q, slots), b, a)
            true("sequences shared steps", s.metric("step_sequences_total") > 1.5 * s.metric("n_decode_total"))
            true("clients hung up", s.metric("requests_hung_up_total") > 0)
            for name in ("prefix_forks_total", "prompt_tokens_cached_total", "prefix_stored_total", "prefix_evicted_total"):
                true("%s is above zero" % name, s.metric(name) > 0)
            if slots == 3:
                true("prompts were cut", s.metric("prompt_cuts_total") > 0)
            if slots == 8:
                true("guesses were run", s.metric("spec_decode_num_draft_tokens_total") > 0)
    finish("load")


main()
