"""An answer of tern serve is the same whatever else the server does: fixed requests alone, and then among clients that come, go,
hang up and share beginnings, on several numbers of threads and slots. A model with random weights answers, so that a bit that
differs anywhere soon shows in the ids, and many requests ask for log probabilities, in which it shows at once.

TERN_SERVE_REQUESTS=N: the long form, N requests (200 is much) among 32 clients, on more threads and slots."""
import os, random, subprocess, sys, threading
from client import Server, check, finish, fixed, true

C, CHAT = "/v1/completions", "/v1/chat/completions"
LONG_FORM = "TERN_SERVE_REQUESTS" in os.environ
REQUESTS, VISITORS = (int(os.environ["TERN_SERVE_REQUESTS"]), 32) if LONG_FORM else (24, 10)
TOOLS = [{"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"enum": ["x", "y y"]}},
                                                                         "required": ["a", "b"], "additionalProperties": False}}} for name in ("f", "g")]
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["a", "b"],
          "additionalProperties": False}
WORDS = "and the king of all that is said unto him in a day when".split()
words = lambda r, n: " ".join(r.choice(WORDS) for _ in range(n))
BEGINNINGS = [words(random.Random(k), 40) for k in range(3)] # some pages of the cache each: a token is a byte


def make_random(build, folder, script):
    size = "--hidden 128 --ffn 128 --layers 2 --heads 4 --kv-heads 2 --head-dim 32 --vocab 384 --ctx 512"
    subprocess.run([build + "/make_gguf", *size.split(), "--arch", "llama", "--seed", "3", "-o", folder + "/m.gguf"],
                   check=True, stdout=subprocess.DEVNULL)
    return folder + "/m.gguf", ["--target", "ref", "--chat-template", "chatml", "-c", "512"]


def prompt(r):
    """Short, long, or long with a beginning that others have too."""
    kind = r.randrange(4)
    return words(r, r.randint(1, 4)) if kind == 0 else words(r, 50) if kind == 1 else r.choice(BEGINNINGS) + " " + words(r, r.randint(1, 10))


def request(r, seed):
    path, text, log = r.choice([C, CHAT]), prompt(r), r.random() < 0.5
    body = {"seed": seed, "temperature": r.choice([0, 0, 0.8, 1.5]), "max_tokens": r.choice([1, 8, 24, 40])}
    if r.random() < 0.1:
        body["n"] = 3
    if r.random() < 0.25:
        body.update(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}})
    if r.random() < 0.2:
        body["stop"] = ["\t\t", "<", "a"]
    if r.random() < 0.2:
        body.update(repeat_penalty=1.3, logit_bias={"60": -100, "97": 3}, top_p=0.9, min_p=0.01)
    if path == C:
        return path, dict(body, prompt=text, **({"logprobs": 3} if log else {})), r.random() < 0.5
    if "response_format" not in body and r.random() < 0.25:
        body.update(tools=TOOLS, tool_choice="required")
    return path, dict(body, messages=[{"role": "user", "content": text}], **({"logprobs": True, "top_logprobs": 3} if log else {})), r.random() < 0.5


def answer(s, path, body, stream):
    if not stream:
        return fixed(s.post(path, body))
    return fixed(s.stream(path, dict(body, stream_options={"include_usage": True})))


def visit(s, r):
    """A client of whom nothing is checked: it reads all, a part or nothing of its answer."""
    c = s.connect()
    try:
        body = '{"prompt": "%s", "seed": %d, "stream": %s, "max_tokens": %d}' % (prompt(r), r.randrange(9), r.choice(["true", "false"]), r.randint(1, 80))
        c.request("POST", C, body)
        if r.random() < 0.9:
            c.getresponse().read(r.choice([1, 2000, 1 << 20, 1 << 20]))
    except OSError:
        pass
    finally:
        c.close()


def among_others(build, asked, alone, threads, slots, *flags):
    what = "%d threads, %d slots, %s" % (threads, slots, " ".join(flags))
    with Server(build, "-t", str(threads), "--slots", str(slots), "--queue", "1000", *flags, make=make_random) as s:
        over, got = threading.Event(), [None] * len(asked)

        def visitor(k):
            r = random.Random(k)
            while not over.is_set():
                visit(s, r)

        def worker(k):
            for i in range(k, len(asked), 4):
                got[i] = answer(s, *asked[i])

        workers = [threading.Thread(target=worker, args=(k,)) for k in range(4)]
        visitors = [threading.Thread(target=visitor, args=(k,)) for k in range(VISITORS)]
        for t in visitors + workers:
            t.start()
        for t in workers:
            t.join()
        over.set()
        for t in visitors:
            t.join()
        for q, a, b in zip(asked, alone, got):
            check("%s among others, %s" % (q, what), b, a)
        prove(s, what, slots, flags)


def prove(s, what, slots, flags):
    """That it was a test."""
    steps = s.metric("n_decode_total")
    if slots >= 8 and flags[-1] == "0": # a bound on pauses keeps prompts out of most steps
        crowded = steps - s.metric(r'step_sequences_bucket\{le="3"\}')
        true("some steps had rows of four sequences: %d of %d, %s" % (crowded, steps, what), crowded > 0)
        if crowded < min(steps / 2, 100):
            print("skipped a part: clients came too slowly to crowd the steps: four sequences in %d of %d, %s" % (crowded, steps, what))
        true("clients hung up, " + what, s.metric("requests_hung_up_total") > 0)
    names = ["prompt_tokens_cached_total", "prefix_forks_total", "prefix_stored_total", "prefix_evicted_total"]
    if flags[:2] == ("--stored", "0"):
        names = []
    if slots > 1 and flags[-1] != "0": # a prompt that keeps nobody waiting is not cut, unless it is longer than a step
        names.append("prompt_cuts_total")
    if "--draft-max" in flags:
        names.append("spec_decode_num_draft_tokens_total")
        # beside others, guesses are run as long as they pay on this machine
        known = s.metric("spec_decode_num_accepted_tokens_total") + s.metric("guesses_withheld_total")
        true("guesses are right or withheld, " + what, known > 0)
    for name in names:
        true("%s is above zero, %s" % (name, what), s.metric(name) > 0)
    if LONG_FORM:
        print(what + ":", ", ".join("%s %d" % (n, s.metric(n)) for n in ["n_decode_total", "step_sequences_total", *names]), flush=True)


def main():
    r = random.Random(7)
    asked = [request(r, i) for i in range(REQUESTS)]
    with Server(sys.argv[1], "-t", "1", "--slots", "1", "--stored", "0", make=make_random) as s:
        alone = [answer(s, *q) for q in asked]
        true("answers differ", len({str(a) for a in alone}) > REQUESTS * 0.9)
        check("nothing was shared", s.metric("prompt_tokens_cached_total"), 0)
    among = lambda *words: among_others(sys.argv[1], asked, alone, *words)
    among(2, 8, "--stored", "3", "--draft-max", "3", "--max-pause-ms", "0")
    if LONG_FORM:
        among(1, 1, "--stored", "1", "--draft-max", "4")
        among(3, 2, "--stored", "2", "--max-pause-ms", "1")
        among(2, 4, "--stored", "4", "--draft-max", "2", "--max-pause-ms", "1")
        among(3, 16, "--stored", "4", "--draft-max", "3", "--max-pause-ms", "0")
        among(1, 16, "--stored", "0", "--max-pause-ms", "2")
    else:
        del asked[8:]
        among(3, 3, "--stored", "2", "--max-pause-ms", "1")
    finish("load")


main()
