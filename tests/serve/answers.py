"""What each endpoint of tern serve answers."""
import base64, json, re, struct, sys, tempfile, time
from client import Server, check, finish, fixed, true

C, CHAT = "/v1/completions", "/v1/chat/completions"


def user(text):
    return [{"role": "user", "content": text}]


def completions(s):
    a = s.post(C, {"prompt": "sun"})
    check("completion", fixed(a), {
        "object": "text_completion", "model": "m",
        "choices": [{"text": "It shines.", "index": 0, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5}})
    true("an id", re.fullmatch(r"cmpl-[0-9a-f]{32}", a["id"]))
    true("timings", a["timings"]["predicted_n"] == 4 and a["timings"]["prompt_n"] == 1)
    text = lambda body: [c["text"] for c in s.post(C, body)["choices"]]
    check("ids", text({"prompt": s.post("/tokenize", {"content": "sun"})["tokens"]}), ["It shines."])
    check("several prompts", text({"prompt": ["sun", "hi", "count"], "n": 2, "max_tokens": 2}),
          ["It shines"] * 2 + ["Hello, hello"] * 2 + ["one two"] * 2)
    check("echo", text({"prompt": "the sun: ", "echo": True}), ["the sun: It shines."])
    check("a bound", s.post(C, {"prompt": "sun", "max_tokens": 2})["choices"][0]["finish_reason"], "length")
    check("a stop string", text({"prompt": "count", "stop": " four"}), ["one two three"])
    check("stop strings", text({"prompt": "count", "stop": ["x", "o th"]}), ["one tw"])
    check("null is absent", text({"prompt": "sun", "stop": None, "seed": None, "logprobs": None}), ["It shines."])
    check("what changes nothing", text({"prompt": "sun", "presence_penalty": 0.0, "user": "me", "best_of": 1}), ["It shines."])
    check("bytes that are no character", text({"prompt": "broken"}), ["bad\ufffdend"])
    check("a character of two tokens", text({"prompt": "split"}), ["gr\u00fcn"])
    left = s.post("/tokenize", {"content": "pick"})["tokens"]
    seeds = {k: text({"prompt": left, "temperature": 1, "seed": k})[0] for k in range(20)}
    check("seeds pick both", set(seeds.values()), {"left", "right"})
    check("a seed picks the same", {k: text({"prompt": "pick", "temperature": 1, "seed": k})[0] for k in range(20)}, seeds)
    check("the seeds of n choices", text({"prompt": "pick", "temperature": 1, "seed": 3, "n": 9}), [seeds[k] for k in range(3, 12)])


def biases(s):
    text = lambda body: [c["text"] for c in s.post(C, body)["choices"]][0]
    pieces = {i: s.post("/detokenize", {"tokens": [i]})["content"] for i in range(60)}
    it = next(str(i) for i, p in pieces.items() if p == "left")
    check("a ban", text({"prompt": "pick", "logit_bias": {it: -100}}), "right")
    it = next(str(i) for i, p in pieces.items() if p == "right")
    six = lambda **more: text(dict(more, prompt="pick", grammar='root ::= ("left" | "right"){6}'))
    for penalties, answer in (({}, "left" * 6), ({"frequency_penalty": 1}, "leftright" * 3), ({"presence_penalty": 1}, "leftright" + "left" * 4),
                              ({"frequency_penalty": -1, "presence_penalty": -1}, "left" * 6)):
        check("%s" % penalties, six(**penalties), answer)
    check("a push", text({"prompt": "pick", "logit_bias": {it: 5}}), "right")


def formats(s):
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
    for body in ({"response_format": {"type": "json_object"}}, {"json_schema": schema},
                 {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}}):
        a = s.post(CHAT, dict(body, messages=user("json")))
        check("JSON by %s" % list(body), a["choices"][0]["message"]["content"], '{"a":1}')
        check("its end", a["choices"][0]["finish_reason"], "stop")
    check("a grammar", s.post(C, {"prompt": "sun", "grammar": 'root ::= "It" " shines"'})["choices"][0]["text"], "It shines")
    check("text", s.post(C, {"prompt": "sun", "response_format": {"type": "text"}})["choices"][0]["text"], "It shines.")


def logprobs(s):
    c = s.post(CHAT, {"messages": user("split"), "logprobs": True, "top_logprobs": 3})["choices"][0]
    content = c["logprobs"]["content"]
    check("tokens, without the one that ends", [(t["token"], t["bytes"]) for t in content],
          [("gr", [103, 114]), ("\ufffd", [0xc3]), ("\ufffd", [0xbc]), ("n", [110])])
    for t in content:
        top = t["top_logprobs"]
        check("the best is what was picked: %s" % t["token"], (len(top), top[0]["token"], top[0]["logprob"]), (3, t["token"], t["logprob"]))
        true("a log probability: %s" % t["logprob"], t["logprob"] <= 0 and top[0]["logprob"] >= top[1]["logprob"] >= top[2]["logprob"])
    bare = s.post(CHAT, {"messages": user("split"), "logprobs": True})["choices"][0]["logprobs"]["content"]
    check("without others", bare, [dict(t, top_logprobs=[]) for t in content])
    e = s.stream(CHAT, {"messages": user("split"), "logprobs": True, "top_logprobs": 3})
    parts = [c["choices"][0]["logprobs"] for c in e]
    check("an event has the tokens since the last one", [p and [t["bytes"] for t in p["content"]] for p in parts],
          [None, [[103, 114]], [[0xc3], [0xbc]], [[110]], None])
    check("and all of them", [t for p in parts if p for t in p["content"]], content)
    l = s.post(C, {"prompt": "split", "logprobs": 2})["choices"][0]["logprobs"]
    check("tokens of a completion", (l["tokens"], l["text_offset"]), (["gr", "bytes:\\xc3", "bytes:\\xbc", "n"], [0, 2, 3, 3]))
    true("their logprobs", len(l["token_logprobs"]) == 4 and all(v <= 0 for v in l["token_logprobs"]))
    check("and the best", [(len(t), t[n]) for t, n in zip(l["top_logprobs"], l["tokens"])], [(2, v) for v in l["token_logprobs"]])
    pieces = {i: s.post("/detokenize", {"tokens": [i]})["content"] for i in range(60)}
    ban = next(str(i) for i, p in pieces.items() if p == "It")
    l = s.post(C, {"prompt": "sun", "logprobs": 1, "max_tokens": 1, "logit_bias": {ban: -100}})["choices"][0]["logprobs"]
    true("before biases: %s" % l, list(l["top_logprobs"][0])[0] == "It" and len(l["top_logprobs"][0]) == 2 and
         l["top_logprobs"][0][l["tokens"][0]] == l["token_logprobs"][0])
    check("none of the best", s.post(C, {"prompt": "sun", "logprobs": 0})["choices"][0]["logprobs"]["tokens"], ["It", " shines", "."])


def beginnings(s):
    """What one request has computed serves the next."""
    long = "a long beginning " * 5
    cached = lambda a: (a["usage"]["prompt_tokens_details"]["cached_tokens"], a["timings"]["cache_n"], a["timings"]["prompt_n"])
    a = s.post(C, {"prompt": long + "sun"})
    n = a["usage"]["prompt_tokens"]
    check("a new prompt", cached(a), (0, 0, n))
    check("it is stored", s.metric("prefix_stored") > 0, True)
    b = s.post(C, {"prompt": long + "sun"})
    check("once more", (cached(b), b["choices"]), ((n - 1, n - 1, 1), a["choices"]))
    c = s.post(C, {"prompt": long + "hi"})
    check("another end", (cached(c), c["choices"][0]["text"]), ((len(long), len(long), 2), "Hello, hello!"))
    check("they are counted", s.metric("prompt_tokens_cached_total") >= n - 1 + len(long), True)
    true("forks too", s.metric("prefix_forks_total") >= 2)


def chats(s):
    a = s.post(CHAT, {"messages": user("sun"), "model": "m"})
    check("chat", fixed(a), {
        "object": "chat.completion", "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "It shines.", "refusal": None}, "logprobs": None,
                     "finish_reason": "stop"}],
        "usage": {"prompt_tokens": a["usage"]["prompt_tokens"], "completion_tokens": 4,
                  "total_tokens": a["usage"]["prompt_tokens"] + 4}})
    for bound in ({"max_tokens": 2}, {"max_completion_tokens": 2}, {"max_tokens": 2, "max_completion_tokens": 2},
                  {"max_tokens": None, "max_completion_tokens": 2}, {"max_tokens": 2, "max_completion_tokens": None}):
        check("%s" % bound, s.post(CHAT, dict(bound, messages=user("sun")))["choices"][0]["message"]["content"], "It shines")
    content = lambda m: s.post(CHAT, {"messages": m})["choices"][0]["message"]["content"]
    check("parts", content([{"role": "user", "content": [{"type": "text", "text": "the "}, {"type": "text", "text": "sun"}]}]), "It shines.")
    render = lambda m: s.post("/apply-template", {"messages": m})["prompt"]
    check("a template", render(user("hi")), "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n")
    check("a developer", render([{"role": "developer", "content": "x"}]), "<|im_start|>system\nx<|im_end|>\n<|im_start|>assistant\n")
    n = s.post(CHAT, {"messages": user("<|im_end|>")})["usage"]["prompt_tokens"]
    check("control tokens of a user are text", n, s.post(CHAT, {"messages": user("x" * len("<|im_end|>"))})["usage"]["prompt_tokens"])


def tools(s):
    f = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    c = s.post(CHAT, {"messages": user("weather"), "tools": f})["choices"][0]
    call = c["message"]["tool_calls"][0]
    check("a call", (c["finish_reason"], c["message"]["content"], call["type"], call["function"]),
          ("tool_calls", None, "function", {"name": "weather", "arguments": '{"city":"Rome"}'}))
    c = s.post(CHAT, {"messages": user("half"), "tools": f})["choices"][0]
    check("half a call", (c["finish_reason"], c["message"]["content"]), ("stop", '<tool_call>\n{"name": "weather"'))
    for word, text in (("person", '{"name": "Alice", "age": 5}'), ("weathers", '{"name": "weather", "age": 5, "arguments": {}}'),
                       ("unknown", '<tool_call>{"name": "wether", "arguments": {}}</tool_call>')):
        c = s.post(CHAT, {"messages": user(word), "tools": f})["choices"][0]
        check("no call: " + word, (c["finish_reason"], c["message"]["content"], "tool_calls" in c["message"]), ("stop", text, False))
    c = s.post(CHAT, {"messages": user("bare"), "tools": f})["choices"][0]
    check("a call without a word around it", (c["finish_reason"], c["message"]["tool_calls"][0]["function"]),
          ("tool_calls", {"name": "weather", "arguments": '{"city":"Oslo"}'}))
    c = s.post(CHAT, {"messages": user("weather")})["choices"][0]
    true("a call without tools is text", c["message"]["content"].startswith("<tool_call>") and "tool_calls" not in c["message"])
    e = s.stream(CHAT, {"messages": user("weather"), "tools": f})
    check("a call in a stream", [c["choices"][0]["finish_reason"] for c in e], [None, None, None, "tool_calls"])
    check("its delta", e[1]["choices"][0]["delta"]["tool_calls"][0]["function"]["name"], "weather")
    again = [{"role": "user", "content": "weather"}, {"role": "assistant", "content": None, "tool_calls": [call]},
             {"role": "tool", "tool_call_id": call["id"], "content": "sun"}]
    check("the answer to a tool", s.post(CHAT, {"messages": again, "tools": f})["choices"][0]["message"]["content"], "It shines.")


def forced(s):
    """Calls that must come, in the format of the template; of a schema with references."""
    city = {"type": "object", "properties": {"city": {"$ref": "#/$defs/c"}}, "required": ["city"], "$defs": {"c": {"enum": ["Rome", "Oslo"]}}}
    f = [{"type": "function", "function": {"name": "time"}}, {"type": "function", "function": {"name": "weather", "parameters": city}}]
    ask = lambda choice, **more: s.post(CHAT, dict(more, messages=user("sun"), tools=f, tool_choice=choice))["choices"][0]
    for choice, names in (("required", ["time", "weather"]), ({"type": "function", "function": {"name": "time"}}, ["time"]),
                          ({"type": "function", "function": {"name": "weather"}}, ["weather"])):
        c = ask(choice, parallel_tool_calls=False)
        call = c["message"]["tool_calls"][0]["function"]
        check("a call by %s" % choice, (c["finish_reason"], c["message"]["content"], len(c["message"]["tool_calls"])), ("tool_calls", None, 1))
        true("its tool", call["name"] in names)
        arguments = json.loads(call["arguments"])
        true("its arguments: %s" % arguments, arguments == {} if call["name"] == "time" else arguments["city"] in ("Rome", "Oslo"))
    true("none", "tool_calls" not in ask("none")["message"])


def dates(build):
    """Templates that print the date: a fixed one, or the clock's in UTC wherever the server stands."""
    with tempfile.NamedTemporaryFile("w", suffix=".jinja") as t:
        t.write("{{ strftime_now('%Y-%m-%d %H') }}")
        t.flush()
        now = lambda s: s.post("/apply-template", {"messages": user("hi")})["prompt"]
        with Server(build, "--date", "2024-02-29", template=t.name) as s:
            check("a fixed date", now(s), "2024-02-29 00")
        with Server(build, template=t.name, env={"TZ": "UTC-9"}) as s:
            clock = lambda: time.strftime("%Y-%m-%d %H", time.gmtime())
            before = clock()
            true("the clock's", now(s) in (before, clock()))


def penalties(build):
    """The flags are the defaults of requests."""
    ask = lambda s, **more: s.post(C, dict({"prompt": "pick", "ignore_eos": True, "max_tokens": 4, "temperature": 0}, **more))["choices"][0]["text"]
    with Server(build, "-c", "128", "--presence-penalty", "1", "--frequency-penalty", "0.5") as s:
        p = s.get("/props")["default_generation_settings"]["params"]
        check("props", (p["presence_penalty"], p["frequency_penalty"]), (1, 0.5))
        check("by the flags", ask(s), "leftright")
        check("a request without", ask(s, presence_penalty=0, frequency_penalty=0), "leftleft")
        check("a request with one", ask(s, presence_penalty=0), "leftright")


def templates(build):
    body = "{% for m in messages %}{{ m.content }}{% endfor %}"
    with tempfile.NamedTemporaryFile("w", suffix=".jinja") as t:
        for sign in ("<tool_call>", "[TOOL_CALLS]", "<|python_tag|>"):
            t.seek(0)
            t.truncate()
            t.write(body + "{# %s #}" % sign)
            t.flush()
            with Server(build, "--slots", "3", "-c", "256", template=t.name) as s:
                forced(s)


def streams(s):
    e = s.stream(C, {"prompt": "count", "stream_options": {"include_usage": True}})
    check("one event a piece", [c["choices"][0]["text"] for c in e[:-1]],
          ["one", " two", " three", " four", " five", " six", " seven", " eight", " nine", " ten", ""])
    check("reasons", [c["choices"][0]["finish_reason"] for c in e[:-1]], [None] * 10 + ["stop"])
    check("usage in events", [c["usage"] for c in e[:-1]], [None] * 11)
    check("the last one's", (e[-1]["choices"], e[-1]["usage"]["completion_tokens"]), ([], 11))
    check("one id", len({c["id"] for c in e}), 1)
    e = s.stream(C, {"prompt": ["sun", "hi"]})
    check("a choice after the other", [(c["choices"][0]["index"], c["choices"][0]["text"]) for c in e],
          [(0, "It"), (0, " shines"), (0, "."), (0, ""), (1, "Hello"), (1, ", hello"), (1, "!"), (1, "")])
    true("no usage unasked", all("usage" not in c for c in e))
    e = s.stream(CHAT, {"messages": user("split")})
    check("deltas", [c["choices"][0]["delta"] for c in e],
          [{"role": "assistant", "content": ""}, {"content": "gr"}, {"content": "\u00fc"}, {"content": "n"}, {}])
    check("the object", {c["object"] for c in e}, {"chat.completion.chunk"})


def states(s):
    check("health", s.get("/health"), {"status": "ok"})
    check("ready", s.get("/ready"), {"status": "ok"})
    check("models", [m["id"] for m in s.get("/v1/models")["data"]], ["m"])
    check("slots", [(v["id"], v["is_processing"]) for v in s.get("/slots")], [(i, False) for i in range(3)])
    p = s.get("/props")
    check("props", (p["total_slots"], p["default_generation_settings"]["n_ctx"], p["eos_token"]), (3, 256, "<|im_end|>"))
    check("tokenize", s.post("/detokenize", {"tokens": s.post("/tokenize", {"content": "h\u00e9 <|im_end|>"})["tokens"]})["content"],
          "h\u00e9 <|im_end|>")
    t = s.post("/tokenize", {"content": "h\u00e9", "with_pieces": True})["tokens"]
    check("pieces", [x["piece"] for x in t], ["h", [0xc3], [0xa9]])
    check("HEAD", s.ask("HEAD", "/health")[::2], (200, ""))
    text = s.ask("GET", "/metrics")[2]
    names = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M)
    check("names of metrics once", len(names), len({n for n, _ in names}))
    true("counters end in _total", all(n.endswith("_total") == (k == "counter") for n, k in names))
    for line in text.splitlines():
        true("a line of metrics: " + line, re.fullmatch(r'# (HELP|TYPE) tern_\w+ .+|tern_\w+(\{\w+="[^"]+"\})? [0-9.e+-]+', line))
    count = lambda: s.metric("time_to_first_token_seconds_count")
    before = count()
    s.post(C, {"prompt": "sun", "n": 4})
    check("a first token is once a request", count(), before + 1)
    true("tokens were counted", s.metric("tokens_predicted_total") > 100 and s.metric("requests_processing") == 0)
    llama = s.ask("GET", "/metrics?names=llamacpp")[2]
    true("llama-server's names", re.search(r"^llamacpp:prompt_tokens_total \d+$", llama, re.M) and "tern_" not in llama)


def vectors(s):
    a = s.post("/v1/embeddings", {"input": ["sun", "hi there", "sun", "x", "y"]})
    v = [d["embedding"] for d in a["data"]]
    check("vectors", (len(v), [d["index"] for d in a["data"]], v[0] == v[2], v[0] == v[1]), (5, [0, 1, 2, 3, 4], True, False))
    true("of length 1", abs(sum(x * x for x in v[0]) - 1) < 1e-5)
    check("their tokens", a["usage"], {"prompt_tokens": 12, "total_tokens": 12})
    b = s.post("/v1/embeddings", {"input": "sun", "encoding_format": "base64"})["data"][0]["embedding"]
    raw = base64.b64decode(b)
    check("in base64", ["%.9g" % x for x in struct.unpack("<%df" % (len(raw) // 4), raw)], ["%.9g" % x for x in v[0]])


def main():
    with Server(sys.argv[1], "--slots", "3", "-c", "256", "--pooling", "mean") as s:
        for part in (beginnings, completions, logprobs, biases, formats, chats, tools, forced, streams, vectors, states):
            part(s)
    templates(sys.argv[1])
    dates(sys.argv[1])
    penalties(sys.argv[1])
    finish("answers")


main()
