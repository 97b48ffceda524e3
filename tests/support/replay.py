#!/usr/bin/env python3
"""Runs the transcripts of a page again and compares: replay.py PAGE BUILD SKIPS

A transcript is an indented block with lines `$ command`, each followed by what the command prints: its standard output,
or its standard error if that is empty. If nothing follows a command, its exit status must be 0. The commands of a page
run in order in one folder, which holds only `build`, `models` and `docs`. A line `...` stands for any lines. A command that
ends in `&` runs until the page ends, and is compared by as many lines of its standard error as the page shows; the port 8080
stands for one that is free. For commands
that print times (TIMES), times and peak memory are not compared. SKIPS is a file of lines `REGEX<tab>reason`: commands
that are not run. With TERN_REFRESH=1 a page that differs is rewritten. Exit status 1 if there is a difference."""
import contextlib, os, re, shlex, signal, socket, subprocess, sys, tempfile

INDENT = "    "
TIMES = re.compile(r"--time-passes|tern compile -o|tern compile .* -o ")


def complete(command):
    try:
        shlex.split(command)
        return True
    except ValueError:
        return False


def same(got, want, times):
    if times:
        got, want = ([re.sub(r" *\d+\.\d+ (ms|s)\b|memory \d+ MB", " N", line) for line in lines] for lines in (got, want))
    if not want:
        return not got
    if want[0] == "...":  # never after TIMES
        return any(same(got[i:], want[1:], False) for i in range(len(got) + 1))
    return bool(got) and got[0] == want[0] and same(got[1:], want[1:], False)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


def with_port(command, port):
    return re.sub(r"\b8080\b", port, command) if port else command


def stop(p):
    if p.poll() is None:
        p.send_signal(signal.SIGTERM)
    p.wait(600)
    p.stderr.close()


# `exec`: so that the process is the command's own, and a signal reaches it.
def begin(command, folder, env, n):
    p = subprocess.Popen(["bash", "-c", "exec " + command[:-1]], cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, text=True)
    return p, [line for line in (p.stderr.readline() for _ in range(n)) if line]


def run(command, folder, env):
    p = subprocess.run(["bash", "-c", 'tern() { build/tern "$@"; }; ' + command], cwd=folder, env=env, stdin=subprocess.DEVNULL,
                       capture_output=True, timeout=600)
    return p.returncode, (p.stdout or p.stderr).decode("utf-8", "replace").splitlines()


def main():
    page, build, skips = sys.argv[1], os.path.realpath(sys.argv[2]), sys.argv[3]
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
    skips = [line.rstrip("\n").split("\t") for line in open(skips) if "\t" in line]
    lines = open(os.path.join(root, page)).read().split("\n")
    faults = ran = 0
    out = []
    port = None  # chosen when it is needed, since others may take one that is free now
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as behind:
        os.symlink(build, folder + "/build")
        os.symlink(root + "/models", folder + "/models")
        os.symlink(root + "/docs", folder + "/docs")
        env = dict(os.environ, HOME=folder, LC_ALL="C")
        i = 0
        while i < len(lines):
            if not lines[i].startswith(INDENT + "$ "):
                out.append(lines[i])
                i += 1
                continue
            at, command = i, lines[i][len(INDENT) + 2:]
            i += 1
            while not complete(command):
                command += "\n" + lines[i][len(INDENT):]
                i += 1
            out += lines[at:i]
            want = []
            while i < len(lines) and lines[i].startswith(INDENT) and not lines[i].startswith(INDENT + "$ "):
                want.append(lines[i][len(INDENT):])
                i += 1
            reasons = [reason for regex, reason in skips if re.search(regex, "\n".join([command] + want))]
            if reasons:
                print("%s:%d: not run: %s: %s" % (page, at + 1, command.split("\n")[0], reasons[0]))
                out += [INDENT + line for line in want]
                continue
            ran += 1
            if command.endswith("&"):
                for _ in range(20):
                    port = free_port()
                    p, got = begin(with_port(command, port), folder, env, len(want))
                    behind.callback(stop, p)
                    if not any("Address already in use" in line for line in got):
                        break
                status = p.poll() or 0
            else:
                status, got = run(with_port(command, port), folder, env)
            got = [line.rstrip().replace(":%s" % port, ":8080") for line in got]
            want = [line.rstrip() for line in want]
            if same(got, want, TIMES.search(command)) if want else status == 0:
                out += [(INDENT + line) for line in want]
                continue
            faults += 1
            print("%s:%d: $ %s\n  expected:\n    %s\n  got:\n    %s" %
                  (page, at + 1, command, "\n    ".join(want), "\n    ".join(got[:40])))
            out += [INDENT + line for line in got] if want else []
    if not ran:
        print("%s: no transcript was run: the patterns no longer fit" % page)
        faults += 1
    if os.environ.get("TERN_REFRESH") and faults:
        open(os.path.join(root, page), "w").write("\n".join(out))
        print("%s: written anew" % page)
    print("%s: %d commands run, %d differ" % (page, ran, faults))
    return faults != 0


sys.exit(main())
