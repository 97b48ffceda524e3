"""Runs a command, waits for a certain moment, and then sends it signals or truncates its files.

    signalled.py --until WHEN [--stop] [--signal NAME]... [--truncate FILE=BYTES]... [--ignore NAME] [--group]
                 [--terminal] [--out FILE] [--err FILE] COMMAND...

WHEN is one of
    output    it has printed its first bytes; from then on its output is not read, so that it must wait for its reader
    full      the same, and it is waiting
    handlers  it has a handler for SIGINT
    code      it has mapped code that it made, and has used a third of a second of processor time since
    writer    it has a nameless or temporary file open for writing, and has mapped the files that are to be truncated
    maps=FILE it has FILE mapped
    child     it has a child that is another program
With --stop it is stopped (SIGSTOP) while signals are sent and files are truncated. Signals are sent one by one, each after
the one before has been delivered. Prints how the command ended: the exit status, or -N for signal N; "early" if it ended
before WHEN, "alive" if it had to be killed after ten minutes. Nothing depends on time.
"""
import argparse
import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
import array

parser = argparse.ArgumentParser()
parser.add_argument("--until", default="handlers")
parser.add_argument("--stop", action="store_true")
parser.add_argument("--signal", action="append", default=[])
parser.add_argument("--truncate", action="append", default=[])
parser.add_argument("--ignore")
parser.add_argument("--group", action="store_true")
parser.add_argument("--terminal", action="store_true")
parser.add_argument("--out", default="/dev/null")
parser.add_argument("--err", default="/dev/null")
parser.add_argument("command", nargs=argparse.REMAINDER)
a = parser.parse_args()

number = {n: getattr(signal, "SIG" + n) for n in ("INT", "TERM", "HUP", "BUS", "SEGV")}
read_end, write_end = os.pipe()
fcntl.fcntl(write_end, 1031, 4096)  # F_SETPIPE_SZ: a page


def before():
    for n in ("INT", "TERM", "HUP"):
        signal.signal(number[n], signal.SIG_IGN if n == a.ignore else signal.SIG_DFL)


if a.terminal:
    master, err = pty.openpty()
else:
    master, err = None, os.open(a.err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
stdin, keep = os.pipe()  # never anything to read, and no end
p = subprocess.Popen(a.command, stdin=stdin, stdout=write_end, stderr=err, preexec_fn=before,
                     start_new_session=a.group or a.terminal)
os.close(write_end)
os.close(err)
os.close(stdin)
deadline = time.monotonic() + 600
proc = "/proc/%d/" % p.pid
terminal = b""
since = []


def text(name):
    try:
        with open(proc + name, "rb") as f:
            return f.read().decode("latin-1")
    except OSError:
        return ""


def waiting_bytes():
    n = array.array("i", [0])
    fcntl.ioctl(read_end, termios.FIONREAD, n)
    return n[0]


def status(key):
    for line in text("status").splitlines():
        if line.startswith(key + ":"):
            return line.split()[1]
    return ""


def writes():
    for fd in os.listdir(proc + "fd"):
        try:
            where = os.readlink(proc + "fd/" + fd)
        except OSError:
            continue
        if ".tmp-" in where or (where.endswith("(deleted)") and "/#" in where):
            return True
    return False


def there():
    if a.until == "output":
        return waiting_bytes() > 0
    if a.until == "full":
        return waiting_bytes() > 0 and status("State") == "S"
    if a.until == "handlers":
        caught = status("SigCgt")
        return caught and int(caught, 16) >> number["INT"] - 1 & 1
    if a.until == "writer":
        return writes() and all(t.rpartition("=")[0] in text("maps") for t in a.truncate)
    if a.until == "code":
        if "r-xp 00000000 00:00 0 \n" not in text("maps"):
            return False
        ticks = sum(int(t) for t in text("stat").rpartition(")")[2].split()[11:13])
        since.append(ticks)
        return ticks - since[0] > os.sysconf("SC_CLK_TCK") / 3
    if a.until.startswith("maps="):
        return a.until[5:] in text("maps")
    if a.until == "child":
        kids = text("task/%d/children" % p.pid).split()
        for kid in kids:
            try:
                if os.readlink("/proc/%s/exe" % kid) != os.readlink(proc + "exe"):
                    return True
            except OSError:
                pass
        return False
    sys.exit("--until " + a.until)


def drain():
    global terminal
    while master is not None and select.select([master], [], [], 0)[0]:
        try:
            more = os.read(master, 65536)
        except OSError:
            return
        if not more:
            return
        terminal += more


arrived = False
while p.poll() is None and time.monotonic() < deadline:
    drain()
    try:
        arrived = there()
    except OSError:
        arrived = False
    if arrived:
        break
    if not a.until.startswith("maps=") and a.until != "writer":
        time.sleep(0.002)
if arrived:
    if a.stop:
        p.send_signal(signal.SIGSTOP)
    for t in a.truncate:
        name, _, size = t.rpartition("=")
        os.truncate(name, int(size))
    for i, s in enumerate(a.signal):
        if i:
            while p.poll() is None and int(status("ShdPnd") or "0", 16) and time.monotonic() < deadline:
                time.sleep(0.002)
        if a.group:
            os.killpg(p.pid, number[s])
        else:
            p.send_signal(number[s])
    if a.stop:
        p.send_signal(signal.SIGCONT)

# With several signals the output is not read before the end: a command that must end at once must not need its reader.
patient = len(a.signal) > 1
output = b""
while p.poll() is None and time.monotonic() < deadline:
    drain()
    if patient:
        time.sleep(0.002)
    elif select.select([read_end], [], [], 0.01)[0]:
        more = os.read(read_end, 65536)
        output += more
        if not more:
            time.sleep(0.002)
drain()
alive = p.poll() is None
if alive:
    p.kill()
    p.wait()
while True:
    more = os.read(read_end, 65536)
    if not more:
        break
    output += more
with open(a.out, "wb") as f:
    f.write(output)
if a.terminal:
    with open(a.err, "wb") as f:
        f.write(terminal)
print("alive" if alive else "early" if not arrived else p.returncode)
