"""tern serve as a service of systemd, whose part this plays: it gives a socket and hears when the server is ready and when it ends."""
import os, signal, socket, subprocess, sys, tempfile
import client
from client import check, finish, make_model, true


def start(build, model, flags, given, notify=None, pid="$$", n="1"):
    """Descriptor 3 is `given`."""
    env = dict(os.environ, LISTEN_FDS=n)
    env.pop("NOTIFY_SOCKET", None)
    if notify:
        env["NOTIFY_SOCKET"] = notify
    command = ["sh", "-c", 'LISTEN_PID=%s exec "$@"' % pid, "sh", build + "/tern", "serve", model, "--systemd-socket", "--slots", "1", "-c", "128"]
    return subprocess.Popen(command + flags, env=env, stderr=subprocess.PIPE, text=True, close_fds=False, preexec_fn=lambda: (os.dup2(given.fileno(), 3), os.set_inheritable(3, True)))


class Given(client.Server):
    """For its requests alone."""

    def __init__(self, port=None, unix=None):
        self.port, self.unix = port, unix


def served(build, model, flags, folder, family, notify):
    path = folder + "/given"
    with socket.socket(family) as given, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hears:
        given.bind(path if family == socket.AF_UNIX else ("127.0.0.1", 0))
        given.listen(10)
        hears.bind(notify.replace("@", "\0"))
        hears.settimeout(600)
        s = Given(unix=path) if family == socket.AF_UNIX else Given(port=given.getsockname()[1])
        p = start(build, model, flags, given, notify)
        check("it is ready", hears.recv(100), b"READY=1")
        line = p.stderr.readline()
        true("its line: " + line, ("unix:" + path if s.unix else ":%d, " % s.port) in line)
        check("an answer", s.post("/v1/completions", {"prompt": "sun"})["choices"][0]["text"], "It shines.")
        p.send_signal(signal.SIGTERM)
        check("it ends", hears.recv(100), b"STOPPING=1")
        check("its status", (p.wait(600), p.stderr.read()), (0, ""))
        p.stderr.close()
    true("the socket's file is systemd's", family != socket.AF_UNIX or os.path.exists(path))


def refused(build, model, flags, given, why, **more):
    p = start(build, model, flags, given, **more)
    said = p.communicate()[1]
    true("%s: %d %s" % (why, p.returncode, said), p.returncode == 1 and why in said)


def main():
    build = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        model, flags = make_model(build, folder)
        served(build, model, flags, folder, socket.AF_INET, folder + "/notify")
        served(build, model, flags, folder, socket.AF_UNIX, "@tern-test-%d" % os.getpid())
        with socket.socket() as given:
            refused(build, model, flags, given, "is no socket that listens")
            given.bind(("127.0.0.1", 0))
            given.listen(1)
            refused(build, model, flags, given, "got no socket, expected one", pid="1")
            refused(build, model, flags, given, "got 2 sockets", n="2")
        p = subprocess.run([build + "/tern", "serve", model, "--systemd-socket", "--port", "1"], stderr=subprocess.PIPE, text=True)
        true("with another place: " + p.stderr, p.returncode == 2 and "--systemd-socket excludes" in p.stderr)
    finish("systemd")


main()
