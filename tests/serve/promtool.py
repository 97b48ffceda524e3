"""`promtool check metrics` of a server that has answered, refused and been hung up on."""
import subprocess, sys
from client import Server, check, finish


def main():
    with Server(sys.argv[1], "--slots", "2", "-c", "128", "--pooling", "mean") as s:
        s.post("/v1/completions", {"prompt": ["sun", "count"], "n": 2})
        s.post("/v1/embeddings", {"input": "sun"})
        s.ask("GET", "/nothing")
        text = s.ask("GET", "/metrics")[2]
    p = subprocess.run(["promtool", "check", "metrics"], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    check("promtool check metrics", (p.returncode, p.stdout), (0, ""))
    finish("promtool")


main()
