"""Programs for node with packages of npm, for tests that other programs' clients drive. npm puts the packages of package.json,
of exactly these versions, into the build folder once. Where there is no node, npm or network, the test skips, saying so."""
import fcntl, os, shutil, subprocess, sys

HERE = os.path.dirname(os.path.abspath(__file__))


def skip(why):
    print("skipped: " + why)
    sys.exit(77)


def modules(build):
    folder = build + "/tests/npm"
    for program in ("node", "npm"):
        if not shutil.which(program):
            skip("there is no %s (apt install nodejs npm)" % program)
    os.makedirs(folder, exist_ok=True)
    with open(folder + "/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with open(HERE + "/package.json") as f:
            text = f.read()
        done = folder + "/done"
        if os.path.exists(done) and open(done).read() == text:
            return folder + "/node_modules"
        shutil.copy(HERE + "/package.json", folder)
        command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", "--no-package-lock", "--fetch-retries=0", "--loglevel=error"]
        try:
            r = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240)
        except subprocess.TimeoutExpired:
            skip("npm install took too long")
        if r.returncode:
            skip("npm cannot get its packages: " + (r.stdout.strip().splitlines() or ["no reason"])[0])
        with open(done, "w") as f:
            f.write(text)
    return folder + "/node_modules"


def run(build, program, *words):
    """Runs a program of this folder; it prints FAILED lines and a last line with its counts. Status 77: it printed why it skips."""
    r = subprocess.run(["node", HERE + "/" + program, *words], env=dict(os.environ, NODE_PATH=modules(build)), stdin=subprocess.DEVNULL)
    if r.returncode == 77:
        sys.exit(77)
    return r.returncode
