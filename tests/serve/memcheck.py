"""A server with two tiny models under valgrind, while it answers, streams, is left in the middle of a stream, refuses, loads and unloads,
and ends: no read of what was never written, none out of bounds, nothing lost."""
import json, os, subprocess, sys, tempfile
from client import Server, check, finish, true
from models import C, CHAT, E, randoms, say, states

VALGRIND = ["valgrind", "-q", "--fair-sched=yes", "--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite"]
# The loader of shared libraries reads run paths eight bytes at a time, and where an allocation lies decides whether valgrind sees it.
LOADER = "{\n loader\n Memcheck:Addr8\n fun:strncmp\n fun:is_dst\n}\n"
TOOL = {"type": "function", "function": {"name": "w", "parameters": {"type": "object", "properties": {"a": {"type": "integer", "maximum": 9}},
                                                                     "required": ["a"], "additionalProperties": False}}}
SCHEMA = TOOL["function"]["parameters"]


def skip(why):
    print("skipped: " + why)
    sys.exit(77)


def compiled(build, folder):
    version = subprocess.run([build + "/tern", "--version"], stdout=subprocess.PIPE, text=True).stdout
    if "no LLVM" in version:
        skip("this build has no LLVM")
    if "avx2" not in version:
        skip("this machine has no AVX2")
    if "san.so" in subprocess.run(["ldd", build + "/tern"], stdout=subprocess.PIPE, text=True).stdout:
        skip("a build with sanitizers does not run under valgrind")
    randoms(build, folder, "", 2)
    for n in "ab":
        subprocess.run([build + "/tern", "compile", folder + "/%s.gguf" % n, "-o", folder + "/%s.tern" % n, "--cpu", "avx2", "--kv", "f16"],
                       check=True, stderr=subprocess.DEVNULL)


def hang_up(s):
    c = s.connect()
    c.request("POST", C, json.dumps({"prompt": "x", "stream": True, "max_tokens": 200, "ignore_eos": True}))
    c.getresponse().read(50)
    c.close()
    s.until("the slot is free again", lambda: s.metric("requests_processing") == 0)


def refuse(s):
    for path, body, status in ((C, "{", 400), (C, "[" * 2000, 400), (C, {"prompt": "x", "temprature": 0}, 400), (CHAT, {"messages": 3}, 400),
                               (C, {"prompt": "x", "model": "z"}, 404), (C, {"prompt": "x" * 400}, 400), ("/v1/none", "", 404)):
        check("%s %.30s" % (path, body), s.ask("POST", path, body)[0], status)
    c = s.connect()
    c.connect()
    c.sock.sendall(b"no request\r\n\r\n\xff\xfe")
    c.close()


def answer(s):
    user = {"messages": [{"role": "user", "content": "in the beginning"}], "max_tokens": 6}
    for body in (user, dict(user, n=2, logprobs=True, top_logprobs=2, temperature=1, seed=3), dict(user, tools=[TOOL]),
                 dict(user, tools=[TOOL], tool_choice="required", max_tokens=60)):
        check("a chat", len(s.post(CHAT, body)["choices"]), body.get("n", 1))
        true("a stream", len(s.stream(CHAT, body)) > 1)
    true("a schema", s.post(C, {"prompt": "x", "json_schema": SCHEMA, "max_tokens": 60})["choices"])
    check("vectors", len(s.post(E, {"input": ["a", "b c", "d"]})["data"]), 3)
    check("a response", s.post("/v1/responses", {"input": "x", "max_output_tokens": 4})["object"], "response")
    check("a message", s.post("/v1/messages", {"max_tokens": 4, "messages": user["messages"]})["type"], "message")
    for path in ("/metrics", "/slots", "/props", "/v1/models", "/", "/health"):
        check(path, s.ask("GET", path)[0], 200)


def main():
    build = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        compiled(build, folder)
        with open(folder + "/loader", "w") as f:
            f.write(LOADER)
        under = VALGRIND + ["--suppressions=%s/loader" % folder, "--log-file=%s/log" % folder]
        flags = ["--slots", "2", "-c", "256", "-t", "1", "--pooling", "mean", "--log", "json", "--draft-max", "2", "--idle-timeout", "2",
                 "--chat-template", "chatml"]
        with Server(build, *flags, make=lambda *_: (folder + "/a.tern", [folder + "/b.tern"]), under=under) as s:
            answer(s)
            refuse(s)
            hang_up(s)
            say(s, "b", max_tokens=3)
            s.until("both are unloaded", lambda: set(states(s).values()) == {"unloaded"})
            say(s, "a", max_tokens=3)
            s.process.terminate()
            s.process.stderr.read()
        with open(folder + "/log") as f:
            check("what valgrind says", f.read()[:4000], "")
    finish("memcheck")


main()
