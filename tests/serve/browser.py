"""The page of tern serve in a browser. TERN_SHOTS=FOLDER: leaves pictures there."""
import os, shutil, sys
import node
from client import Server, check, finish

# An answer that is long and slow enough to be stopped, one of many blocks, and one that would run if it could.
MORE = r"""say blocks: # Title\n\n|Some| **bold**| text|.\n\n|```c\n|int| x|;\n|```\n\n|- a\n|- b|\n
say evil: <img src=x onerror="document.title='bad'">|<script>document.title='bad'</script>| [x](javascript\:alert(1))
say think: <think>|hm|</think>|So| it| is|.
"""


def main():
    build = sys.argv[1]
    node.modules(build)
    chromium = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
    if not chromium:
        node.skip("there is no Chromium (apt install chromium)")
    keys = build + "/browser_keys.%d" % os.getpid()
    with open(keys, "w") as f:
        f.write("secret\n")
    try:
        with Server(build, "-c", "1024", "--slots", "2", script=MORE) as s, Server(build, "-c", "1024", "--api-key", keys) as locked:
            check("the browser", node.run(build, "browser.js", chromium, "http://127.0.0.1:%d/" % s.port, "http://127.0.0.1:%d/" % locked.port), 0)
    finally:
        os.unlink(keys)
    finish("browser")


main()
