"""tern serve asked by npm's `openai`."""
import os, sys
import node
from client import Server, check, finish


def main():
    build = sys.argv[1]
    node.modules(build)
    keys = build + "/openai_keys.%d" % os.getpid()
    with open(keys, "w") as f:
        f.write("secret\n")
    try:
        with Server(build, "-c", "512", "--slots", "2", "--pooling", "mean", "--api-key", keys) as s:
            check("the client", node.run(build, "openai_npm.js", "http://127.0.0.1:%d/v1" % s.port, "secret"), 0)
    finally:
        os.unlink(keys)
    finish("openai")


main()
