"""Calls of tools in streams of tern serve: text before, between and after them, arguments as they come, in the formats of several models
and in the three shapes; the parts together are the answer of a request without a stream, and do not depend on guesses."""
import json, re, subprocess, sys
from client import Server, check, finish, fixed, true

CHAT = "/v1/chat/completions"


def user(text):
    return [{"role": "user", "content": text}]


# Answers with calls in pieces. All but those of BROKEN are the same streamed and not.
PIECES = r"""
say mixed: I| look.|\n\n|<tool|_call>\n{"na|me": "weather", "argu|ments": {"city": "Ro\\"}|me", |"days": [1, {"a": 2}]}}|\n</tool_call>|\n<tool_call>{"name": "weather", "arguments": {}}</tool_call>|\n| done |now|\n
say mistral:  |[TOOL|_CALLS]| [|{"name": "weather", "arguments": {"city": "A  b"}, "id": "}{"}|, {"name"|: "weather", "arguments": {}} |]
say python: <\|python|_tag\|>|{"name": "weather", "parameters": |{"city": 1}|}
say order: a|<tool_call>{"arguments": {"city": |"Rome"}, "name": "weather"}</tool_call>| after
say bracket: [1|] is| a list
say brace: {not| a call
say smaller: a <| b <tool| c |<tool_call|
say leading:   Hi |<tool_call>{"name": "weather", "arguments": {}}</tool_call>|\n
say nobody: x <tool_call>|{"name": "wether", |"arguments": {}}|</tool_call> y
say barelist: [{"name": "weather", "parameters": {"city": "Oslo"}}|, {"name": "weather", "arguments": {}}]
say umlaut: <tool_call>{"name": "weather", "arguments": {"c": "|\xc3|\xbc"}}</tool_call>
say reordered: [TOOL_CALLS][{"name": "weather", "arguments": {"n": 1}}, |{"arguments": {"n": 2}, |"name": "weather"}]
say cutoff: text |<tool_call>{"name": "weather", "arguments": {"ci|ty": "R
say unclosed: a |<tool_call>{"name": "weather", "arguments": {"n": 1}}|\nI will| tell you.
say sibling: <tool_call>{"name": "weather", "arguments": {"n": 1}}\n|<|tool_call>{"name": "weather", "arguments": {"n": 2}}</tool_call>
say closeless: <tool_call>{"name": "weather", "arguments": {}, "id": "<"}|\n</tool|
say braceless: b <tool_call>{"name": "weather", "arguments": {}|</tool_call> c
say lost: <tool_call>{"name": "weather", "arguments": {}, "id": 1|</tool_call> d
say text: <tool_call>{"name": "weather", "arguments": {}|\n|} and } I see
say words: <tool_call>{"name": "weather", "arguments": {}|\nI |will.
say other: [TOOL_CALLS][{"name": "weather", "arguments": {}}, {"name": "else", "arguments": {}}]
say nojson: <tool_call>{"name": "weather", "arguments": {oops}}</tool_call>
"""
WORDS = re.findall(r"^say (\w+):", PIECES, re.M)

# Calls that are not whole: the text and the calls of a stream. Without a stream all is text.
BROKEN = {
    "cutoff": ("text", ['{"city":"R']),
    "unclosed": ("a \nI will tell you.", ['{"n":1}']),
    "sibling": ("", ['{"n":1}', '{"n":2}']),
    "closeless": ("", ["{}"]),
    "braceless": ("b  c", ["{}"]),
    "lost": ("d", ["{}"]),
    "text": ("and } I see", ["{}"]),
    "words": ("I will.", ["{}"]),
    "other": ('{"name": "else", "arguments": {}}]', ["{}"]),
    "nojson": ("", ["{oops}"]),
}


def said(word):
    """All of an answer, as the script has it."""
    line = re.search("^say %s: (.*)$" % word, PIECES, re.M)[1]
    return line.replace("|", "").replace("\\n", "\n")


def joined(events):
    """The message that the chunks of a chat make, as npm's and Python's openai put it together."""
    content, calls = "", []
    for e in events:
        d = e["choices"][0]["delta"]
        content += d.get("content") or ""
        for c in d.get("tool_calls", []):
            if c["index"] == len(calls):
                calls.append({"id": c["id"], "type": c["type"], "function": {"name": c["function"]["name"], "arguments": ""}})
            calls[c["index"]]["function"]["arguments"] += c["function"]["arguments"]
    return content, [(c["function"]["name"], c["function"]["arguments"]) for c in calls], events[-1]["choices"][0]["finish_reason"]


def named(s, path, body):
    """The events of a stream whose events have names."""
    text = s.ask("POST", path, dict(body, stream=True))[2]
    return [json.loads(e.split("data: ", 1)[1]) for e in text.split("\n\n") if "data: " in e]


def streamed_calls(build):
    f = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    server = lambda *flags: Server(build, "-c", "256", *flags, script=PIECES)
    with server("--slots", "3") as s:
        seen = {}
        for word in WORDS:
            body = {"messages": user(word), "tools": f}
            events = s.stream(CHAT, body)
            seen[word] = [fixed(e) for e in events]
            choice = s.post(CHAT, body)["choices"][0]
            message = choice["message"]
            whole = (message["content"] or "", [(c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls", [])], choice["finish_reason"])
            if word in BROKEN:
                check("no whole call is text: " + word, whole, (said(word), [], "stop"))
                whole = (BROKEN[word][0], [("weather", a) for a in BROKEN[word][1]], "tool_calls")
            check("a stream is the answer: " + word, joined(events), whole)
            same_in_other_shapes(s, word, f, whole)
        deltas = [e["choices"][0]["delta"] for e in s.stream(CHAT, {"messages": user("mixed"), "tools": f})]
        for d in deltas:
            for c in d.get("tool_calls", []):
                c.pop("id", None)
        args = lambda i, text: {"tool_calls": [{"index": i, "function": {"arguments": text}}]}
        name = lambda i: {"tool_calls": [{"index": i, "type": "function", "function": {"name": "weather", "arguments": ""}}]}
        check("parts come as they come", deltas, [
            {"role": "assistant", "content": ""}, {"content": "I"}, {"content": " look."}, name(0), args(0, '{"city":"Ro\\"}'), args(0, 'me",'), args(0, '"days":[1,{"a":2}]}'),
            name(1), args(1, "{}"), {"content": "\n\n\n\n done"}, {"content": " now"}, {}])
        half_a_character(s, f)
        two = s.stream(CHAT, {"messages": user("mixed"), "tools": f, "n": 2, "logprobs": True})
        for i in (0, 1):
            mine = [e for e in two if e["choices"][0]["index"] == i]
            check("choice %d" % i, joined(mine)[1:], ([("weather", '{"city":"Ro\\"}me","days":[1,{"a":2}]}'), ("weather", "{}")], "tool_calls"))
            tokens = [t["token"] for e in mine for t in (e["choices"][0]["logprobs"] or {"content": []})["content"]]
            true("log probabilities of all tokens: %s" % tokens, "".join(tokens).startswith("I look.\n\n<tool_call>\n{") and tokens[-2] == "now")
    with server("--slots", "1", "--draft-max", "4") as s:
        for word in WORDS:
            check("with guesses: " + word, [fixed(e) for e in s.stream(CHAT, {"messages": user(word), "tools": f})], seen[word])
        check("none is withheld where one answer is made", s.metric("guesses_withheld_total"), 0)
    shared_guesses(server, f, seen)


def shared_guesses(server, f, seen):
    """What was written before is guessed, unless the answers are to share nothing; no event depends on it."""
    right = lambda s: s.metric("spec_decode_num_accepted_tokens_total")
    made = lambda s: s.metric("spec_decode_num_draft_tokens_total") + s.metric("guesses_withheld_total")
    for memory in ("1", "0"):
        with server("--slots", "1", "--draft-max", "4", "--draft-memory", memory) as s:
            counts = [0]
            for again in range(2):
                for word in WORDS:
                    check("guesses of %s MiB, time %d: %s" % (memory, again, word), [fixed(e) for e in s.stream(CHAT, {"messages": user(word), "tools": f})], seen[word])
                counts.append(right(s) if memory == "0" else made(s))
            first, second = counts[1], counts[2] - counts[1]
            if memory == "0":
                check("nothing is shared", second, first)
            else:
                true("what was written is guessed, and run if it pays on this machine: %d, then %d" % (first, second), second > first + 50)
    refused = subprocess.run([sys.argv[1] + "/tern", "serve", "--draft-memory", "1"], stderr=subprocess.PIPE, text=True)
    check("a table without guesses", (refused.returncode, refused.stderr), (2, "tern serve: --draft-memory goes with --draft-max (see tern serve --help)\n"))


def half_a_character(s, f):
    """Arguments that the bound cuts between the bytes of a character."""
    cut = '{"c":"\ufffd'
    check("half a character", joined(s.stream(CHAT, {"messages": user("umlaut"), "tools": f, "max_tokens": 2}))[1:], ([("weather", cut)], "length"))
    events = named(s, "/v1/responses", {"input": "umlaut", "tools": [dict(f[0]["function"], type="function")], "max_output_tokens": 2})
    done = [e for e in events if e["type"] in ("response.function_call_arguments.done", "response.output_item.done")]
    check("in events that end the call", [e.get("item", e)["arguments"] for e in done], [cut, cut])
    check("in the last event", events[-1]["response"]["output"][0]["arguments"], cut)
    events = named(s, "/v1/messages", {"messages": user("umlaut"), "max_tokens": 2, "tools": [{"name": "weather", "input_schema": {"type": "object"}}]})
    check("in a block", "".join(e["delta"].get("partial_json", "") for e in events if e["type"] == "content_block_delta"), cut)


def same_in_other_shapes(s, word, f, whole):
    text, calls, _ = whole
    function = dict(f[0]["function"], type="function")
    events = named(s, "/v1/responses", {"input": word, "tools": [function]})
    check("numbers of events", [e["sequence_number"] for e in events], list(range(len(events))))
    output = events[-1]["response"]["output"]
    done = {e["output_index"]: e["item"] for e in events if e["type"] == "response.output_item.done"}
    check("items of responses: " + word, [done[i] for i in sorted(done)], output)
    check("their texts", "".join(c["text"] for o in output if o["type"] == "message" for c in o["content"]), text)
    check("their calls", [(o["name"], o["arguments"]) for o in output if o["type"] == "function_call"], calls)
    for i, o in enumerate(output):
        parts = [e["delta"] for e in events if e["type"].endswith(".delta") and e["output_index"] == i]
        check("its parts", "".join(parts), o["arguments"] if o["type"] == "function_call" else text)
    blocks, open_one = [], None
    for e in named(s, "/v1/messages", {"messages": user(word), "max_tokens": 200, "tools": [{"name": "weather", "input_schema": {"type": "object"}}]}):
        if e["type"] == "content_block_start":
            check("one block at a time", (open_one, e["index"]), (None, len(blocks)))
            open_one = e["index"]
            blocks.append([e["content_block"].get("name"), ""])
        elif e["type"] == "content_block_delta":
            check("its block", e["index"], open_one)
            blocks[-1][1] += e["delta"].get("text", "") + e["delta"].get("partial_json", "")
        elif e["type"] == "content_block_stop":
            check("the end of its block", e["index"], open_one)
            open_one = None
    check("blocks of messages: " + word, ("".join(t for n, t in blocks if n is None), [tuple(b) for b in blocks if b[0]]), (text, calls))


streamed_calls(sys.argv[1])
finish("calls")
