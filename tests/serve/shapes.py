"""Chats in the shapes of /v1/responses and /v1/messages: answers, events and refusals."""
import json, sys
from client import Server, check, finish, fixed, true

R, M, CHAT = "/v1/responses", "/v1/messages", "/v1/chat/completions"
CITY = {"type": "object", "properties": {"city": {"enum": ["Rome"]}}, "required": ["city"]}
TOOLS = [{"type": "function", "name": "weather", "description": "of a city", "parameters": CITY, "strict": True}]
CUSTOM = [{"name": "weather", "description": "of a city", "input_schema": CITY}]
CALL = {"name": "weather", "arguments": '{"city":"Rome"}'}


def user(text):
    return [{"role": "user", "content": text}]


def events(s, path, body):
    """[(name, data)]; the names are those in the data too."""
    status, headers, text = s.ask("POST", path, dict(body, stream=True))
    check("a stream", (status, headers.get("Content-Type")), (200, "text/event-stream"))
    out = []
    for e in text.split("\n\n")[:-1]:
        name, data = e.split("\n")
        out.append((name[len("event: "):], json.loads(data[len("data: "):])))
        check("the type of an event", out[-1][1]["type"], out[-1][0])
    return out


def prompt(s, path, body):
    """The tokens of a prompt, from the answer."""
    u = s.post(path, body)["usage"]
    return u["input_tokens"] + u.get("cache_read_input_tokens", 0)


# ---- /v1/responses

def responses(s):
    a = s.post(R, {"input": "sun", "temperature": 0.5, "seed": 1, "metadata": {"a": "b"}})
    check("a response", (a["object"], a["status"], a["error"], a["temperature"], a["metadata"], a["store"]),
          ("response", "completed", None, 0.5, {"a": "b"}, False))
    check("a default", a["top_p"], 0.95)
    check("its output", fixed(a["output"]), [{"type": "message", "status": "completed", "role": "assistant", "content": [
        {"type": "output_text", "text": "It shines.", "annotations": [], "logprobs": []}]}])
    n = s.post(CHAT, {"messages": user("sun")})["usage"]["prompt_tokens"]
    check("its usage", (a["usage"]["input_tokens"], a["usage"]["output_tokens"], a["usage"]["total_tokens"]), (n, 4, n + 4))
    text = lambda body: s.post(R, body)["output"][0]["content"][0]["text"]
    check("parts", text({"input": [{"role": "user", "content": [{"type": "input_text", "text": "the "}, {"type": "input_text", "text": "sun"}]}]}),
          "It shines.")
    check("a schema", text({"input": "json", "text": {"format": {"type": "json_schema", "name": "x", "schema": {
        "type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}}}}), '{"a":1}')
    a = s.post(R, {"input": "count", "max_output_tokens": 2})
    check("a bound", (a["status"], a["incomplete_details"], a["output"][0]["status"]), ("incomplete", {"reason": "max_output_tokens"}, "incomplete"))
    items = [{"role": "user", "content": "weather"}, {"type": "function_call", "call_id": "a", "id": "x", "status": "completed", **CALL},
             {"type": "function_call", "call_id": "b", **CALL}, {"type": "function_call_output", "call_id": "a", "output": "sun"},
             {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "sun"}]},
             {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok", "annotations": []}]},
             {"type": "message", "role": "developer", "content": "sun"}]
    call = lambda i: {"id": i, "type": "function", "function": CALL}
    same = [{"role": "system", "content": "be"}, {"role": "user", "content": "weather"}, {"role": "assistant", "content": "", "tool_calls": [call("a"), call("b")]},
            {"role": "tool", "tool_call_id": "a", "content": "sun"}, {"role": "tool", "tool_call_id": "b", "content": "sun"},
            {"role": "assistant", "content": "ok"}, {"role": "system", "content": "sun"}]
    check("items are messages", prompt(s, R, {"input": items, "instructions": "be"}), s.post(CHAT, {"messages": same})["usage"]["prompt_tokens"])
    a = s.post(R, {"input": "weather", "tools": TOOLS})
    check("a call", fixed(a["output"]), [{"type": "function_call", "status": "completed", **CALL}])
    check("tools come back", a["tools"], TOOLS)
    for choice in ("required", {"type": "function", "name": "weather"}):
        check("a call by %s" % choice, fixed(s.post(R, {"input": "sun", "tools": TOOLS, "tool_choice": choice})["output"]),
              [{"type": "function_call", "status": "completed", **CALL}])


def response_events(s):
    e = events(s, R, {"input": "split"})
    check("events", [n for n, _ in e], ["response." + n for n in (
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done", "completed")])
    check("their numbers", [d["sequence_number"] for _, d in e], list(range(len(e))))
    check("deltas", [d["delta"] for n, d in e if n.endswith("text.delta")], ["gr", "\u00fc", "n"])
    check("the text", e[7][1]["text"], "gr\u00fcn")
    check("the last one is the answer", fixed(e[-1][1]["response"]), fixed(s.post(R, {"input": "split"})))
    check("one id of the message", len({d["item_id"] for _, d in e if "item_id" in d} | {e[2][1]["item"]["id"]}), 1)
    check("a bound", events(s, R, {"input": "count", "max_output_tokens": 2})[-1][0], "response.incomplete")
    e = events(s, R, {"input": "weather", "tools": TOOLS})
    check("events of a call", [n for n, _ in e[2:]], ["response." + n for n in (
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done", "completed")])
    check("its arguments", (e[3][1]["delta"], e[4][1]["arguments"], e[5][1]["item"]["arguments"]), (CALL["arguments"],) * 3)
    e = events(s, R, {"input": "half", "tools": TOOLS})
    check("text beside tools comes whole", [d["delta"] for n, d in e if n.endswith("text.delta")], ['<tool_call>\n{"name": "weather"'])


# ---- /v1/messages

def messages(s):
    ask = lambda **body: s.post(M, dict({"max_tokens": 200, "messages": user("sun")}, **body))
    a = ask()
    check("a message", fixed(a), {"type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "It shines."}],
                                  "stop_reason": "end_turn", "stop_sequence": None, "usage": fixed(a)["usage"]})
    n = s.post(CHAT, {"messages": user("sun")})["usage"]["prompt_tokens"]
    check("its usage", (fixed(a)["usage"]["input_tokens"], a["usage"]["output_tokens"]), (n, 4))
    check("its tokens", s.post(M + "/count_tokens", {"messages": user("sun"), "model": "m"}), {"input_tokens": n})
    a = ask(messages=user("count"), stop_sequences=["x", " four"])
    check("a stop sequence", (a["content"][0]["text"], a["stop_reason"], a["stop_sequence"]), ("one two three", "stop_sequence", " four"))
    check("a bound", ask(max_tokens=2)["stop_reason"], "max_tokens")
    turns = [{"role": "user", "content": [{"type": "text", "text": "weather", "cache_control": {"type": "ephemeral"}}]},
             {"role": "assistant", "content": [{"type": "text", "text": "ok"}, {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Rome"}}]},
             {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "sun"}]}, {"type": "text", "text": "and sun"}]}]
    same = [{"role": "system", "content": "be"}, {"role": "user", "content": "weather"},
            {"role": "assistant", "content": "ok", "tool_calls": [{"id": "a", "type": "function", "function": CALL}]},
            {"role": "tool", "tool_call_id": "a", "content": "sun"}, {"role": "user", "content": "and sun"}]
    for system in ("be", [{"type": "text", "text": "be"}]):
        check("blocks are messages", prompt(s, M, {"messages": turns, "system": system, "max_tokens": 5}),
              s.post(CHAT, {"messages": same})["usage"]["prompt_tokens"])
    use = [{"type": "tool_use", "name": "weather", "input": {"city": "Rome"}}]
    a = ask(messages=user("weather"), tools=CUSTOM)
    check("a call", (fixed(a["content"]), a["stop_reason"]), (use, "tool_use"))
    for choice in ({"type": "any", "disable_parallel_tool_use": True}, {"type": "tool", "name": "weather"}):
        check("a call by %s" % choice, fixed(ask(tools=CUSTOM, tool_choice=choice)["content"]), use)
    check("none", ask(tools=CUSTOM, tool_choice={"type": "none"})["content"][0]["text"], "It shines.")


def message_events(s):
    body = {"messages": user("split"), "max_tokens": 20}
    e = events(s, M, body)
    check("events", [n for n, _ in e], ["message_start", "content_block_start"] + ["content_block_delta"] * 3 + [
        "content_block_stop", "message_delta", "message_stop"])
    check("deltas", [d["delta"]["text"] for n, d in e if n == "content_block_delta"], ["gr", "\u00fc", "n"])
    a = s.post(M, body)
    check("the end", (e[-2][1]["delta"], fixed(e[-2][1]["usage"])), ({"stop_reason": "end_turn", "stop_sequence": None}, fixed(a["usage"])))
    check("the tokens of the prompt", e[0][1]["message"]["usage"]["input_tokens"], fixed(a["usage"])["input_tokens"])
    e = events(s, M, {"messages": user("weather"), "max_tokens": 20, "tools": CUSTOM})
    check("events of a call", [n for n, _ in e], ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"])
    check("its input", (e[1][1]["content_block"]["name"], e[2][1]["delta"], e[4][1]["delta"]["stop_reason"]),
          ("weather", {"type": "input_json_delta", "partial_json": CALL["arguments"]}, "tool_use"))


# ---- Refusals: path, body, the message (up to its length); in /v1/responses, what it begins with is the param too

ROWS = [
    (R, {}, "input: is missing, expected a string or a list of items"),
    (R, {"input": 3}, "input: got 3, expected a string or a list of items"),
    (R, {"input": []}, "input: got an array, expected a list with an item at least"),
    (R, {"input": ["a"]}, "input[0]: got 'a', expected an object: a message, a call, or the output of one"),
    (R, {"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type: got 'item_reference', expected message, function_call or function_call_output"),
    (R, {"input": [{"content": "a"}]}, "input[0].role: is missing, expected a string"),
    (R, {"input": [{"role": "tool", "content": "a"}]}, "input[0].role: got 'tool', expected user, assistant, system or developer"),
    (R, {"input": [{"role": "user"}]}, "input[0].content: is missing, expected a string"),
    (R, {"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0]: got 'input_image', expected a part of type input_text"),
    (R, {"input": [{"role": "user", "content": "a", "name": "x"}]}, "input[0].name: is not known"),
    (R, {"input": [{"type": "function_call", "name": "x", "arguments": "{}"}]}, "input[0].call_id: is missing, expected a string"),
    (R, {"input": [{"type": "function_call_output", "call_id": "x"}]}, "input[0].output: is missing, expected a string"),
    (R, {"input": "a", "store": True}, "store: got true, which is not supported, expected false"),
    (R, {"input": "a", "background": True}, "background: got true, which is not supported, expected false"),
    (R, {"input": "a", "previous_response_id": "x"}, "previous_response_id: is not supported"),
    (R, {"input": "a", "conversation": "x"}, "conversation: is not supported"),
    (R, {"input": "a", "reasoning": {"effort": "low"}}, "reasoning: got an object, which is not supported, expected {}"),
    (R, {"input": "a", "include": ["x"]}, "include: got an array, which is not supported, expected []"),
    (R, {"input": "a", "messages": []}, "messages: is not known"),
    (R, {"input": "a", "stream_options": {}}, "stream_options: goes with stream true"),
    (R, {"input": "a", "max_output_tokens": 0}, "max_output_tokens: got 0, expected a whole number from 1 to"),
    (R, {"input": "a", "tools": [{"type": "web_search"}]}, "tools[0].type: got 'web_search', expected function"),
    (R, {"input": "a", "tools": [{"type": "function"}]}, "tools[0].name: is missing, expected a string"),
    (R, {"input": "a", "tools": TOOLS, "tool_choice": "any"}, "tool_choice: got 'any', expected auto, none, required, or an object that names a function"),
    (R, {"input": "a", "text": {"format": {"type": "xml"}}}, "text.format: expected the type text, json_object, or json_schema with a schema"),
    (R, {"input": "a", "text": {"verbosity": "low"}}, "text.verbosity: got 'low', which is not supported"),
    (R, {"input": "a", "tools": TOOLS, "tool_choice": "required", "text": {"format": {"type": "json_object"}}}, "text.format: goes with no other grammar or schema"),
    (R, {"input": "x" * 300}, "input: has 31"),
    (M, {"messages": user("a")}, "max_tokens: is missing, expected a whole number from 1"),
    (M, {"max_tokens": 1}, "messages: is missing"),
    (M, {"max_tokens": 1, "messages": []}, "messages: got an array, expected a list with a message at least"),
    (M, {"max_tokens": 1, "messages": [3]}, "messages[0]: got 3, expected an object with role and content"),
    (M, {"max_tokens": 1, "messages": [{"role": "system", "content": "a"}]}, "messages[0].role: got 'system', expected user or assistant"),
    (M, {"max_tokens": 1, "messages": user("a") + [{"role": "assistant", "content": "a"}]},
     "messages[1].role: got 'assistant' in the last message, which is not supported, expected user"),
    (M, {"max_tokens": 1, "messages": user(3)}, "messages[0].content: got 3, expected a string or a list of blocks"),
    (M, {"max_tokens": 1, "messages": user([{"type": "image"}])}, "messages[0].content[0].type: got 'image', expected text or tool_result"),
    (M, {"max_tokens": 1, "messages": user([{"type": "text"}])}, "messages[0].content[0].text: is missing"),
    (M, {"max_tokens": 1, "messages": user([{"type": "tool_result"}])}, "messages[0].content[0].tool_use_id: is missing"),
    (M, {"max_tokens": 1, "messages": user([{"type": "text", "text": "a", "x": 1}])}, "messages[0].content[0].x: is not known"),
    (M, {"max_tokens": 1, "messages": user("a"), "system": 1}, "system: got 1, expected a string or a list of parts"),
    (M, {"max_tokens": 1, "messages": user("a"), "thinking": {"type": "enabled", "budget_tokens": 9}}, "thinking: got an object, which is not supported"),
    (M, {"max_tokens": 1, "messages": user("a"), "stop_sequences": "x"}, "stop_sequences: got 'x', expected a list of strings"),
    (M, {"max_tokens": 1, "messages": user("a"), "stop_sequences": [1]}, "stop_sequences[0]: got 1, expected a string"),
    (M, {"max_tokens": 1, "messages": user("a"), "tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0].type: got 'bash_20250124', expected custom"),
    (M, {"max_tokens": 1, "messages": user("a"), "tools": [{"name": "f"}]}, "tools[0].input_schema: is missing"),
    (M, {"max_tokens": 1, "messages": user("a"), "tools": CUSTOM, "tool_choice": {"type": "tool"}}, "tool_choice.name: is missing"),
    (M, {"max_tokens": 1, "messages": user("a"), "tools": CUSTOM, "tool_choice": {"type": "must"}}, "tool_choice.type: got 'must', expected auto, any, tool or none"),
    (M, {"max_tokens": 1, "messages": user("a"), "tools": CUSTOM, "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
     "tool_choice.disable_parallel_tool_use: got true, expected false unless a call is required"),
    (M, {"max_tokens": 1, "messages": user("a"), "n": 2}, "n: is not known"),
    (M + "/count_tokens", {"messages": user("a"), "max_tokens": 1}, "max_tokens: is not known"),
    (M, "{", "the body is not JSON: "),
]


def refusals(s):
    for path, body, message in ROWS:
        what = "%s %s" % (path, str(body)[:100])
        status, _, text = s.ask("POST", path, body)
        answer = json.loads(text)
        e = answer["error"]
        check(what, (status, e["type"], e["message"][:len(message)]), (400, "invalid_request_error", message))
        if path == R:
            check(what + ": members", (sorted(e), e["param"]), (["code", "message", "param", "type"], message.split(":")[0]))
        else:
            check(what + ": members", (answer["type"], sorted(e)), ("error", ["message", "type"]))
    check("another model", (json.loads(s.ask("POST", M, {"model": "x", "max_tokens": 1, "messages": user("a")})[2])["error"]["type"]), "not_found_error")
    deep = '{"input": "a", "tools": [{"type": "function", "name": "f", "parameters": %s}]}' % ('{"a":' * 253 + "1" + "}" * 253)
    check("nearly too deep", s.ask("POST", R, deep)[0], 200)
    deep = '{"max_tokens": 1, "messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": %s}]}, ' \
           '{"role": "user", "content": "a"}]}' % ('{"a":' * 251 + "1" + "}" * 251)
    check("the same in the other shape", s.ask("POST", M, deep)[0] in (200, 400), True)


def main():
    with Server(sys.argv[1], "--slots", "3", "-c", "256") as s:
        for part in (responses, response_events, messages, message_events, refusals):
            part(s)
    finish("shapes")


if __name__ == "__main__":
    main()
