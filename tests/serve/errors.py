"""What tern serve refuses: the status, the message, the member's name and the code of each refusal. Then bodies that were
damaged at random, TERN_ABUSE of them (default 300): each gets an answer in JSON, and the server stays sound."""
import json, os, random, socket, sys
from client import Server, check, finish, true

C, CHAT, E = "/v1/completions", "/v1/chat/completions", "/v1/embeddings"
USER = [{"role": "user", "content": "hi"}]
TOOLS = [{"type": "function", "function": {"name": "f"}}]
DEEP = '{"prompt": ' + "[" * 300 + "]" * 300 + "}"

# path, body, status, param, code, message
ROWS = [
    (C, "", 400, None, "invalid_json", "got no body, expected a JSON object"),
    (C, "{", 400, None, "invalid_json", "the body is not JSON: line 1, column 1: string or '}' expected near end of file"),
    (C, "[1]", 400, None, "invalid_json", "the body: got an array, expected an object"),
    (C, b'{"prompt": "\xff"}', 400, None, "invalid_json", None),
    (C, DEEP, 400, None, "invalid_json", None),
    (C, {}, 400, "prompt", "missing_parameter", "prompt: is missing, expected a string"),
    (C, {"prompt": None}, 400, "prompt", "missing_parameter", None),
    (C, {"prompt": {}}, 400, "prompt", "invalid_value", "prompt: got an object, expected a string or a list of token ids"),
    (C, {"prompt": ""}, 400, "prompt", "invalid_value", "prompt: has no tokens, and the model adds none"),
    (C, {"prompt": []}, 400, "prompt", "invalid_value", None),
    (C, {"prompt": [1, -1]}, 400, "prompt[1]", "invalid_value", "prompt[1]: got -1, expected a token id from 0 to LAST"),
    (C, {"prompt": [1, "a"]}, 400, "prompt[1]", "invalid_value", "prompt[1]: got 'a', expected a token id from 0 to LAST"),
    (C, {"prompt": ["a", 3]}, 400, "prompt[1]", "invalid_value", "prompt[1]: got 3, expected a string or a list of token ids"),
    (C, {"prompt": [1], "echo": True}, 400, "echo", "unsupported_value", "echo: goes with a prompt that is text"),
    (C, {"prompt": "x" * 128}, 400, "prompt", "context_length_exceeded",
     "prompt: has 128 tokens, expected at most 127: the context has 128 positions"),
    (C, {"prompt": ["a"] * 100, "n": 2}, 400, "prompt[64]", "invalid_value",
     "prompt[64]: got prompts for more than 128 answers, expected at most that"),
    (C, {"prompt": "a", "temperatur": 1}, 400, "temperatur", "unknown_parameter", "temperatur: is not known, did you mean temperature?"),
    (C, {"prompt": "a", "zzz": None}, 400, "zzz", "unknown_parameter", "zzz: is not known"),
    (C, {"prompt": "a", "temperature": "1"}, 400, "temperature", "invalid_value", "temperature: got '1', expected a number from 0 to 100"),
    (C, {"prompt": "a", "temperature": -1}, 400, "temperature", "invalid_value", "temperature: got -1, expected a number from 0 to 100"),
    (C, {"prompt": "a", "top_p": 1.5}, 400, "top_p", "invalid_value", "top_p: got 1.5, expected a number from 0 to 1"),
    (C, {"prompt": "a", "n": 0}, 400, "n", "invalid_value", "n: got 0, expected a whole number from 1 to 128"),
    (C, {"prompt": "a", "n": 1.5}, 400, "n", "invalid_value", "n: got 1.5, expected a whole number from 1 to 128"),
    (C, {"prompt": "a", "n": True}, 400, "n", "invalid_value", "n: got true, expected a whole number from 1 to 128"),
    (C, {"prompt": "a", "seed": 2**62}, 400, "seed", "invalid_value", None),
    (C, {"prompt": "a", "max_tokens": 0}, 400, "max_tokens", "invalid_value", "max_tokens: got 0, expected at least 1, or -1: no bound"),
    (C, {"prompt": "a", "stream": 1}, 400, "stream", "invalid_value", "stream: got 1, expected true or false"),
    (C, {"prompt": "a", "stream_options": {}}, 400, "stream_options", "invalid_value", "stream_options: goes with stream true"),
    (C, {"prompt": "a", "stream": True, "stream_options": {"usage": True}}, 400, "stream_options.usage", "unknown_parameter", None),
    (C, {"prompt": "a", "stream": True, "stream_options": 1}, 400, "stream_options", "invalid_value", None),
    (C, {"prompt": "a", "stream": True, "n": "x"}, 400, "n", "invalid_value", None),
    (C, {"prompt": "a", "model": "gpt-4"}, 404, "model", "model_not_found", "model: got 'gpt-4', expected m"),
    (C, {"prompt": "a", "model": 4}, 400, "model", "invalid_value", "model: got 4, expected a string"),
    (C, {"prompt": "a", "stop": 1}, 400, "stop", "invalid_value", "stop: got 1, expected a string"),
    (C, {"prompt": "a", "stop": ["a", None]}, 400, "stop[1]", "invalid_value", "stop[1]: got null, expected a string"),
    (C, {"prompt": "a", "stop": ""}, 400, "stop", "invalid_value", None),
    (C, {"prompt": "a", "stop": ["a"] * 257}, 400, "stop", "invalid_value", "stop: got 257 strings, expected at most 256"),
    (C, {"prompt": "a", "logit_bias": []}, 400, "logit_bias", "invalid_value", None),
    (C, {"prompt": "a", "logit_bias": {"9999": 1}}, 400, "logit_bias.9999", "invalid_value",
     "logit_bias: got the token '9999', expected an id from 0 to LAST"),
    (C, {"prompt": "a", "logit_bias": {str(i): 0 for i in range(4097)}}, 400, "logit_bias", "invalid_value",
     "logit_bias: got 4097 tokens, expected at most 4096"),
    (C, {"prompt": "a", "logit_bias": {"x": 1}}, 400, "logit_bias.x", "invalid_value", None),
    (C, {"prompt": "a", "logit_bias": {"3": 101}}, 400, "logit_bias.3", "invalid_value",
     "logit_bias.3: got 101, expected a number from -100 (never) to 100"),
    (C, {"prompt": "a", "frequency_penalty": 2.5}, 400, "frequency_penalty", "invalid_value",
     "frequency_penalty: got 2.5, expected a number from -2 to 2"),
    (C, {"prompt": "a", "logprobs": 21}, 400, "logprobs", "invalid_value", "logprobs: got 21, expected a whole number from 0 to 20"),
    (C, {"prompt": "a", "logprobs": True}, 400, "logprobs", "invalid_value", "logprobs: got true, expected a whole number from 0 to 20"),
    (C, {"prompt": "a", "logprobs": 1, "echo": True}, 400, "logprobs", "unsupported_value",
     "logprobs: goes with echo false: those of a prompt are not given"),
    (C, {"prompt": "a", "best_of": 2}, 400, "best_of", "unsupported_value", "best_of: got 2, which is not supported, expected 1"),
    (C, {"prompt": "a", "suffix": "b"}, 400, "suffix", "unsupported_value", None),
    (C, {"prompt": "a", "response_format": {"type": "xml"}}, 400, "response_format", "invalid_value",
     "response_format: expected the type text, json_object, or json_schema with a member json_schema"),
    (C, {"prompt": "a", "response_format": {"type": "json_schema"}}, 400, "response_format", "invalid_value", None),
    (C, {"prompt": "a", "response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, 400,
     "response_format.json_schema.schema", "invalid_value", "response_format.json_schema.schema: is missing, expected a JSON schema"),
    (C, {"prompt": "a", "json_schema": 3}, 400, "json_schema", "invalid_value", "json_schema: got 3, expected a JSON schema: an object"),
    (C, {"prompt": "a", "json_schema": {"not": {"type": "string"}}}, 400, "json_schema", "unsupported_value", None),
    (C, {"prompt": "a", "grammar": "root = 1"}, 400, "grammar", "invalid_value", None),
    (C, {"prompt": "a", "grammar": 'root ::= "a"', "json_schema": {}}, 400, "grammar", "invalid_value",
     "grammar: goes with no other grammar or schema"),
    (C, {"prompt": "a", "grammar": 'root ::= "a"', "ignore_eos": True}, 400, "ignore_eos", "invalid_value",
     "ignore_eos: goes with no grammar or schema"),
    (CHAT, {}, 400, "messages", "missing_parameter", "messages: is missing, expected a list of messages"),
    (CHAT, {"messages": []}, 400, "messages", "invalid_value", "messages: got an array, expected a list with a message at least"),
    (CHAT, {"messages": ["hi"]}, 400, "messages[0]", "invalid_value", "messages[0]: got 'hi', expected an object with role and content"),
    (CHAT, {"messages": [{"content": "hi"}]}, 400, "messages[0].role", "invalid_value", None),
    (CHAT, {"messages": USER + [{"role": "user"}]}, 400, "messages[1].content", "missing_parameter",
     "messages[1].content: is missing, expected a string"),
    (CHAT, {"messages": [{"role": "user", "content": 3}]}, 400, "messages[0].content", "invalid_value",
     "messages[0].content: got 3, expected a string or a list of parts"),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, 400, "messages[0].content[0]",
     "invalid_value", "messages[0].content[0]: got 'image_url', expected a part of type text"),
    (CHAT, {"messages": USER, "tool_choice": "required"}, 400, "tool_choice", "invalid_value",
     "tool_choice: goes with tools"),
    (CHAT, {"messages": USER, "tool_choice": "any"}, 400, "tool_choice", "invalid_value",
     "tool_choice: got 'any', expected auto, none, required, or an object that names a function"),
    (CHAT, {"messages": USER, "tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "g"}}}, 400, "tool_choice",
     "invalid_value", "tool_choice: got 'g', expected the name of one of the tools"),
    (CHAT, {"messages": USER, "tools": TOOLS, "tool_choice": "required", "response_format": {"type": "json_object"}}, 400, "tool_choice",
     "invalid_value", "tool_choice: goes with no other grammar or schema"),
    (CHAT, {"messages": USER, "tools": TOOLS, "tool_choice": "required", "ignore_eos": True}, 400, "ignore_eos", "invalid_value", None),
    (CHAT, {"messages": USER, "tools": [{"type": "function", "function": {"name": "f", "parameters": {"not": {"type": "null"}}}}],
            "tool_choice": "required"}, 400, "tools", "unsupported_value", None),
    (CHAT, {"messages": USER, "tools": TOOLS, "parallel_tool_calls": False}, 400, "parallel_tool_calls", "unsupported_value",
     "parallel_tool_calls: got false, expected true unless a call is required"),
    (CHAT, {"messages": USER, "tools": [{"type": "web_search"}]}, 400, "tools[0]", "invalid_value",
     "tools[0]: got 'web_search', expected a tool of type function"),
    (CHAT, {"messages": USER, "tools": [{"type": "function", "function": {}}]}, 400, "tools[0].function.name", "invalid_value", None),
    (CHAT, {"messages": USER, "tools": [{"type": "function", "function": {"name": "f", "parameters": 1}}]}, 400,
     "tools[0].function.parameters", "invalid_value", "tools[0].function.parameters: got 1, expected a JSON schema: an object"),
    (CHAT, {"messages": USER, "tools": {}}, 400, "tools", "invalid_value", "tools: got an object, expected a list of tools"),
    (CHAT, {"messages": USER, "logprobs": 1}, 400, "logprobs", "invalid_value", "logprobs: got 1, expected true or false"),
    (CHAT, {"messages": USER, "top_logprobs": 2}, 400, "top_logprobs", "invalid_value", "top_logprobs: goes with logprobs true"),
    (CHAT, {"messages": USER, "logprobs": True, "top_logprobs": 21}, 400, "top_logprobs", "invalid_value",
     "top_logprobs: got 21, expected a whole number from 0 to 20"),
    (CHAT, {"messages": USER, "max_completion_tokens": 0}, 400, "max_completion_tokens", "invalid_value",
     "max_completion_tokens: got 0, expected at least 1, or -1: no bound"),
    (CHAT, {"messages": USER, "max_completion_tokens": -1, "max_tokens": 2}, 400, "max_completion_tokens", "invalid_value",
     "max_completion_tokens: got -1 beside max_tokens 2, expected one of them, or the same"),
    (CHAT, {"messages": USER, "prompt": "a"}, 400, "prompt", "unknown_parameter", None),
    (CHAT, {"messages": USER, "functions": []}, 400, "functions", "unsupported_parameter", "functions: is not supported"),
    (CHAT, {"messages": USER, "chat_template_kwargs": 1}, 400, "chat_template_kwargs", "invalid_value", None),
    ("/apply-template", {"messages": USER, "n": 1}, 400, "n", "unknown_parameter", None),
    ("/tokenize", {}, 400, "content", "missing_parameter", "content: is missing, expected a string"),
    ("/detokenize", {}, 400, "tokens", "missing_parameter", "tokens: is missing, expected a list of token ids"),
    ("/detokenize", {"tokens": [9999]}, 400, "tokens[0]", "invalid_value", "tokens[0]: got 9999, expected a token id from 0 to LAST"),
    ("/detokenize", {"tokens": "a"}, 400, "tokens", "invalid_value", "tokens: got 'a', expected a list of token ids"),
    (E, {"input": "a"}, 400, "model", "unsupported_model",
     "model: 'm' makes no vectors: its file does not say how, and the server was started without --pooling"),
    ("/v1/nothing", {}, 404, None, "not_found", "got the path '/v1/nothing', which is none of the server's"),
    ("/health", {}, 405, None, "method_not_allowed", "/health: got the method 'POST', expected GET"),
]
VECTORS = [
    (E, {}, 400, "input", "missing_parameter", "input: is missing, expected a string"),
    (E, {"input": 3}, 400, "input", "invalid_value", "input: got 3, expected a string or a list of token ids"),
    (E, {"input": ["a", ""]}, 400, "input[1]", "invalid_value", "input[1]: has no tokens, and the model adds none"),
    (E, {"input": ["a"] * 2049}, 400, "input", "invalid_value", "input: got 2049 texts, expected at most 2048"),
    (E, {"input": "a" * 200}, 400, "input", "context_length_exceeded", "input: has 200 tokens, expected at most 128"),
    (E, {"input": "a", "encoding_format": "hex"}, 400, "encoding_format", "invalid_value",
     "encoding_format: got 'hex', expected float or base64"),
    (E, {"input": "a", "dimensions": 3}, 400, "dimensions", "unsupported_value", None),
]
TYPES = {404: "invalid_request_error", 401: "authentication_error"}


def refused(s, row, last=0):
    path, body, status, param, code, message = row
    what = "%s %s" % (path, str(body)[:100])
    got, headers, text = s.ask("POST", path, body)
    check(what + ": status", got, status)
    check(what + ": type of content", headers.get("Content-Type"), "application/json")
    e = json.loads(text)["error"]
    check(what + ": members", sorted(e), ["code", "message", "param", "type"])
    check(what, (e["type"], e["param"], e["code"]), (TYPES.get(status, "invalid_request_error"), param, code))
    if message:
        check(what + ": message", e["message"], message.replace("LAST", str(last)))
    true(what + ": one line", "\n" not in e["message"] and len(e["message"]) < 500)


def raw(s, data):
    """The status of what is sent as it is; the connection stays as the server leaves it."""
    with socket.create_connection(("127.0.0.1", s.port), 600) as c:
        try:
            c.sendall(data)
        except OSError:
            pass # it has answered, and takes no more
        return int(c.recv(4096).split(b" ")[1])


WHOLE = [
    (C, {"prompt": ["sun", "hi"], "n": 2, "stop": [" s"], "seed": 3, "logit_bias": {"3": -100}, "max_tokens": 3}),
    (C, {"prompt": "json", "json_schema": {"type": "object", "properties": {"a": {"type": "integer"}}}, "max_tokens": 20}),
    (CHAT, {"messages": USER, "tools": [{"type": "function", "function": {"name": "f"}}], "max_tokens": 3}),
    ("/tokenize", {"content": "sun \u00fc", "with_pieces": True}),
    ("/apply-template", {"messages": USER, "chat_template_kwargs": {"x": [1, None]}}),
]


def abuse(s, n):
    r = random.Random(5)
    statuses = {}
    for _ in range(n):
        path, body = r.choice(WHOLE)
        data = bytearray(json.dumps(body).encode())
        for _ in range(r.randint(1, 3)):
            at = r.randrange(len(data))
            kind = r.randrange(4)
            if kind == 0:
                del data[at:at + r.randint(1, 5)]
            elif kind == 1:
                data[at:at] = bytes([r.choice(b'{}[]",:0e-.\\\xff\x00 tn')])
            elif kind == 2:
                data[at] = r.randrange(256)
            else:
                data[at:at] = data[r.randrange(len(data)):][:r.randint(1, 30)]
        status, _, text = s.ask("POST", path, bytes(data))
        answer = json.loads(text)
        true("an answer to %r: %d" % (bytes(data), status), status in (200, 400, 404) and ("error" in answer) == (status != 200))
        statuses[status] = statuses.get(status, 0) + 1
    true("both kinds of answers came: %s" % statuses, statuses.get(200) and statuses.get(400))


def main():
    with Server(sys.argv[1], "-c", "128", "--slots", "1", "--body-most", "1") as s:
        last = s.get("/v1/models")["data"][0]["meta"]["n_vocab"] - 1
        for row in ROWS:
            refused(s, row, last)
        check("a route by GET", s.ask("GET", C)[1].get("Allow"), "POST")
        check("a body that is too large, by its head", raw(s, b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n"), 413)
        chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
        head = b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        check("a body that is too large, in chunks", raw(s, head + chunk * 33 + b"0\r\n\r\n"), 413)
        status, headers, text = s.ask("GET", "/health", None, {"X": "a" * (70 << 10)})
        check("a head that is too large", (status, json.loads(text)["error"]["code"], headers.get("Connection")), (431, "head_too_large", "close"))
        true("one that is much too large", raw(s, b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * (256 << 10) + b"\r\n\r\n") in (413, 431))
        check("no head", raw(s, b"\x16\x03\x01 nonsense\r\n\r\n"), 400)
        abuse(s, int(os.environ.get("TERN_ABUSE", "300")))
        check("after all of it", s.post(C, {"prompt": "sun"})["choices"][0]["text"], "It shines.")
        true("refusals are counted", s.metric(r'responses_total\{code="404"\}') >= 2)
    with Server(sys.argv[1], "-c", "128", "--idle", "2") as s, socket.create_connection(("127.0.0.1", s.port), 600) as c:
        c.sendall(b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{") # half a body, and then nothing
        check("a slow sender", c.recv(4096), b"")
    with Server(sys.argv[1], "-c", "128", "--pooling", "mean") as s:
        for row in VECTORS:
            refused(s, row)
    finish("errors")


if __name__ == "__main__":
    main()
