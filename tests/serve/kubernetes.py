"""docs/deploy/kubernetes.yaml by the rules of Kubernetes' API, as far as they can be tried without a cluster: only fields that the
types have, of the right kind; what is required is there; names, quantities, ports and probes are well formed; parts refer to each
other rightly. And by the program's: its flags, paths and times exist. The tables are those of apps/v1 and v1 for the types that the
file uses. Then the same rules must refuse each of a list of damaged files, so that they are rules."""
import os, re, subprocess, sys
from client import check, finish, true

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")


# ---- YAML, as much of it as the file has: maps and lists by indentation, lists between brackets, plain and quoted scalars


def scalar(text):
    if text.startswith("["):
        return [scalar(t.strip()) for t in text[1:text.rindex("]")].split(",")]
    if text.startswith('"'):
        return text[1:text.rindex('"')]
    return int(text) if re.fullmatch(r"-?\d+", text) else {"true": True, "false": False}.get(text, text)


def parse(lines):
    """Takes lines (indent, text) off the list; a block of those that are indented as the first."""
    indent = lines[0][0]
    block = [] if lines[0][1].startswith("- ") else {}
    while lines and lines[0][0] == indent:
        _, text = lines.pop(0)
        if isinstance(block, list):
            lines.insert(0, (indent + 2, text[2:]))  # a list's item is a block that begins behind the dash
            block.append(parse(lines))
            continue
        key, colon, value = text.partition(":")
        assert colon and key not in block, text
        block[key] = scalar(value.strip()) if value.strip() else parse(lines)
    assert not lines or lines[0][0] < indent, lines[0]
    return block


def documents(text):
    for part in re.split(r"^---$", text, flags=re.M):
        lines = [(len(x) - len(x.lstrip()), x.strip()) for x in part.splitlines() if x.strip() and not x.strip().startswith("#")]
        yield parse(lines)


# ---- The API's types: fields with their kinds. "!" after a name: required. A kind is a Python type, a name of a type here, a list of
# one, a set of values, or a pattern.

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
PATH = re.compile(r"/\S*")
QUANTITY = re.compile(r"([0-9]+|[0-9]*\.[0-9]+|[0-9]+m|[0-9]+)([kMGTPE]i?|m)?")
PORT_NAME = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
ENV = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
IMAGE = re.compile(r"([a-z0-9.-]+(:\d+)?/)?[a-z0-9]+([._/-][a-z0-9]+)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?")
POLICY = {"Always", "OnFailure", "Never"}
MORE, TRUE = "from 0", "from 1"  # whole numbers
TYPES = {
    "Deployment": {"apiVersion!": {"apps/v1"}, "kind!": {"Deployment"}, "metadata!": "Meta", "spec!": "DeploymentSpec"},
    "Service": {"apiVersion!": {"v1"}, "kind!": {"Service"}, "metadata!": "Meta", "spec!": "ServiceSpec"},
    "Meta": {"name!": LABEL, "namespace": LABEL, "labels": "Labels", "annotations": "Annotations"},
    "PodMeta": {"name": LABEL, "labels": "Labels", "annotations": "Annotations"},
    "DeploymentSpec": {"replicas": MORE, "selector!": "Selector", "template!": "Template", "strategy": "Strategy", "minReadySeconds": MORE,
                       "revisionHistoryLimit": MORE, "paused": bool, "progressDeadlineSeconds": TRUE},
    "Selector": {"matchLabels": "Labels", "matchExpressions": list},
    "Strategy": {"type": {"Recreate", "RollingUpdate"}, "rollingUpdate": "Rolling"},
    "Rolling": {"maxUnavailable": "number or percent", "maxSurge": "number or percent"},
    "Template": {"metadata!": "PodMeta", "spec!": "PodSpec"},
    "PodSpec": {"containers!": ["Container"], "initContainers": ["Container"], "volumes": ["Volume"], "terminationGracePeriodSeconds": MORE,
                "automountServiceAccountToken": bool, "serviceAccountName": LABEL, "securityContext": "PodSecurity", "restartPolicy": POLICY,
                "nodeSelector": "Labels", "hostNetwork": bool, "priorityClassName": LABEL, "affinity": dict, "tolerations": list,
                "topologySpreadConstraints": list, "imagePullSecrets": list, "enableServiceLinks": bool, "dnsPolicy": str},
    "PodSecurity": {"runAsNonRoot": bool, "runAsUser": MORE, "runAsGroup": MORE, "fsGroup": MORE, "seccompProfile": "Seccomp", "sysctls": list,
                    "supplementalGroups": [MORE], "fsGroupChangePolicy": {"OnRootMismatch", "Always"}},
    "Seccomp": {"type!": {"RuntimeDefault", "Unconfined", "Localhost"}, "localhostProfile": str},
    "Container": {"name!": LABEL, "image!": IMAGE, "command": [str], "args": [str], "env": ["Env"], "envFrom": list, "ports": ["Port"], "resources": "Resources",
                  "startupProbe": "Probe", "readinessProbe": "Probe", "livenessProbe": "Probe", "lifecycle": dict, "securityContext": "Security",
                  "volumeMounts": ["Mount"], "workingDir": PATH, "imagePullPolicy": {"Always", "IfNotPresent", "Never"}, "stdin": bool, "tty": bool,
                  "terminationMessagePath": PATH, "terminationMessagePolicy": {"File", "FallbackToLogsOnError"}},
    "Env": {"name!": ENV, "value": str, "valueFrom": dict},
    "Port": {"containerPort!": "port", "name": PORT_NAME, "protocol": {"TCP", "UDP", "SCTP"}, "hostPort": "port", "hostIP": str},
    "Resources": {"requests": "Quantities", "limits": "Quantities", "claims": list},
    "Quantities": {"cpu": QUANTITY, "memory": QUANTITY, "ephemeral-storage": QUANTITY, "hugepages-2Mi": QUANTITY},
    "Probe": {"httpGet": "HttpGet", "exec": dict, "tcpSocket": dict, "grpc": dict, "initialDelaySeconds": MORE, "periodSeconds": TRUE, "timeoutSeconds": TRUE,
              "successThreshold": TRUE, "failureThreshold": TRUE, "terminationGracePeriodSeconds": TRUE},
    "HttpGet": {"port!": "port or name", "path": PATH, "host": str, "scheme": {"HTTP", "HTTPS"}, "httpHeaders": list},
    "Security": {"allowPrivilegeEscalation": bool, "readOnlyRootFilesystem": bool, "privileged": bool, "capabilities": "Capabilities", "runAsNonRoot": bool,
                 "runAsUser": MORE, "runAsGroup": MORE, "seccompProfile": "Seccomp", "procMount": str},
    "Capabilities": {"drop": [str], "add": [str]},
    "Mount": {"name!": LABEL, "mountPath!": PATH, "readOnly": bool, "subPath": str, "mountPropagation": str},
    "Volume": {"name!": LABEL, "persistentVolumeClaim": "Claim", "emptyDir": dict, "configMap": dict, "secret": dict, "hostPath": dict},
    "Claim": {"claimName!": LABEL, "readOnly": bool},
    "ServiceSpec": {"selector": "Labels", "ports": ["ServicePort"], "type": {"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"}, "clusterIP": str,
                    "sessionAffinity": {"None", "ClientIP"}, "externalTrafficPolicy": {"Cluster", "Local"}, "publishNotReadyAddresses": bool},
    "ServicePort": {"port!": "port", "name": LABEL, "targetPort": "port or name", "protocol": {"TCP", "UDP", "SCTP"}, "nodePort": "port", "appProtocol": str},
}
whole = lambda v, lo, hi=2**31 - 1: type(v) is int and lo <= v <= hi
KINDS = {
    MORE: lambda v: whole(v, 0, 2**53), TRUE: lambda v: whole(v, 1), "port": lambda v: whole(v, 1, 65535),
    "port or name": lambda v: whole(v, 1, 65535) or type(v) is str and PORT_NAME.fullmatch(v),
    "number or percent": lambda v: whole(v, 0) or type(v) is str and re.fullmatch(r"\d{1,3}%", v),
    "Labels": lambda v: type(v) is dict and all(
        re.fullmatch(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?", k) and type(x) is str and re.fullmatch(r"([A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?)?", x)
        for k, x in v.items()),
    "Annotations": lambda v: type(v) is dict and all(type(x) is str for x in v.values()),
}


def faults(v, kind, path):
    """What is wrong by the types."""
    if isinstance(kind, list):
        return [f for i, x in enumerate(v) for f in faults(x, kind[0], "%s[%d]" % (path, i))] if type(v) is list else [path + ": no list"]
    if isinstance(kind, set):
        return [] if v in kind else ["%s: %r is none of %s" % (path, v, sorted(kind))]
    if isinstance(kind, type):
        return [] if type(v) is kind else ["%s: %r is no %s" % (path, v, kind.__name__)]
    if isinstance(kind, re.Pattern):
        return [] if kind.fullmatch(str(v)) and type(v) in (str, int) else ["%s: %r" % (path, v)]
    if kind in KINDS:
        return [] if KINDS[kind](v) else ["%s: %r is not %s" % (path, v, kind)]
    if type(v) is not dict:
        return [path + ": no " + kind]
    fields = {k.rstrip("!"): x for k, x in TYPES[kind].items()}
    missing = ["%s: %s is missing" % (path, k[:-1]) for k in TYPES[kind] if k.endswith("!") and k[:-1] not in v]
    return missing + [f for k, x in v.items() for f in ([path + ": no field " + k] if k not in fields else faults(x, fields[k], path + "." + k))]


def amount(text):
    n, unit = re.fullmatch(r"([\d.]+)(\D*)", str(text)).groups()
    powers = {u: 1000**(i + 1) for i, u in enumerate("kMGTPE")}
    return float(n) * {"": 1, "m": 1e-3, **powers, **{u + "i": 1024**(i + 1) for i, u in enumerate("kMGTPE")}}[unit]


def disagreements(deployment, service):
    """What the API server, or the cluster, would refuse although the types fit."""
    out = []
    say = lambda bad, what: out.append(what) if bad else None
    spec = deployment["spec"]
    pod, labels = spec["template"]["spec"], spec["template"]["metadata"].get("labels", {})
    selector = spec["selector"].get("matchLabels", {})
    say(not selector or any(labels.get(k) != x for k, x in selector.items()), "the selector is not of the template")
    say(any(labels.get(k) != x for k, x in service["spec"]["selector"].items()), "the service is not of the pods")
    say(spec.get("strategy", {}).get("type") == "Recreate" and "rollingUpdate" in spec["strategy"], "a rolling update of Recreate")
    rolling = spec.get("strategy", {}).get("rollingUpdate", {"maxSurge": 1})
    say(all(rolling.get(k, 1) in (0, "0%") for k in ("maxSurge", "maxUnavailable")), "an update that cannot begin")
    volumes = [v["name"] for v in pod.get("volumes", [])]
    names = {}
    say(len(set(volumes)) < len(volumes), "two volumes of a name")
    say(any(len(v) != 2 for v in pod.get("volumes", [])), "a volume has one source")
    for c in pod["containers"]:
        names.update({p.get("name"): p["containerPort"] for p in c.get("ports", [])})
        say(any(m["name"] not in volumes for m in c.get("volumeMounts", [])), "a mount of no volume")
        need, most = (c.get("resources", {}).get(k, {}) for k in ("requests", "limits"))
        say(any(amount(need[k]) > amount(most[k]) for k in need if k in most), "more is requested than the limit")
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            p = c.get(kind)
            if not p:
                continue
            say(len([k for k in p if k in ("httpGet", "exec", "tcpSocket", "grpc")]) != 1, kind + " asks for one thing")
            say(kind != "readinessProbe" and p.get("successThreshold", 1) != 1, kind + " succeeds once")
            port = p.get("httpGet", {}).get("port", 1)
            say(type(port) is str and port not in names, kind + " of no port")
        security = dict(pod.get("securityContext", {}), **c.get("securityContext", {}))
        say(security.get("runAsNonRoot") and security.get("runAsUser") == 0, "root, that is not root")
        say(security.get("privileged") and security.get("allowPrivilegeEscalation") is False, "privileged without privileges")
    ports = service["spec"]["ports"]
    say(any(type(p.get("targetPort")) is str and p["targetPort"] not in names for p in ports), "the service's port is none of the pods'")
    say(len(ports) > 1 and any("name" not in p for p in ports), "ports without names")
    return out


def problems(docs):
    kinds = [d.get("kind") for d in docs]
    if kinds != ["Deployment", "Service"]:
        return ["kinds: %s" % kinds]
    found = [f for d in docs for f in faults(d, d["kind"], d["kind"])]
    return found or disagreements(*docs)


# ---- The program

def of_the_program(build, deployment):
    pod = deployment["spec"]["template"]["spec"]
    c = pod["containers"][0]
    help_text = subprocess.run([build + "/tern", "serve", "--help"], stdout=subprocess.PIPE, text=True).stdout
    flags = dict(zip(c["args"], c["args"][1:]))
    for flag in [a for a in c["args"] if a.startswith("-")]:
        true("a flag of tern serve: " + flag, re.search(r"(^|[ ,])%s\b" % re.escape(flag), help_text, re.M))
    check("the port", int(flags["--port"]), c["ports"][0]["containerPort"])
    true("it listens to others", flags["--host"] == "0.0.0.0")
    deadline = float(flags.get("--deadline", re.search(r"its wait included \(default: (\d+)\)", help_text).group(1)))
    true("time to drain", pod["terminationGracePeriodSeconds"] > deadline)
    with open(ROOT + "/frontends/serve/routes.def") as f:
        routes = re.findall(r'^ROUTE\("GET", "([^"]+)"', f.read(), re.M)
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        true(kind, c[kind]["httpGet"]["path"] in routes)
    true("the model is on a mount", any(c["args"][1].startswith(m["mountPath"] + "/") for m in c["volumeMounts"]))


DAMAGED = [
    ("replicas: 2", "replicas: two"), ("replicas: 2", "replica: 2"), ("apps/v1", "apps/v2"), ("      app: tern\n  strategy", "      app: other\n  strategy"),
    ("maxSurge: 1", "maxSurge: 0"), ("type: RollingUpdate", "type: Recreate"), ("runAsUser: 65532", "runAsUser: 0"), ("type: RuntimeDefault", "type: Default"),
    ("image: registry.example/tern:0.1.0", "image: Registry/Tern:0.1.0"), ("containerPort: 8080", "containerPort: 80800"), ('value: "0"', "value: 0"),
    ("port: http\n            periodSeconds: 10", "port: web\n            periodSeconds: 10"), ("failureThreshold: 1\n", "failureThreshold: 0\n"),
    ("path: /health", "path: health"), ('drop: ["ALL"]', "drop: ALL"), ("mountPath: /models", "path: /models"), ("- name: models\n              mountPath", "- name: model\n              mountPath"),
    ("claimName: tern-models", "claimName: Tern_Models"), ("targetPort: http", "targetPort: htttp"), ("cpu: \"4\"\n              memory: 2Gi\n            limits", "cpu: \"8\"\n              memory: 2Gi\n            limits"),
    ("memory: 2Gi\n            limits", "memory: 2GiB\n            limits"), ("  selector:\n    app: tern\n  ports", "  selector:\n    app: terns\n  ports"), ("port: 80\n", "port: 0\n"),
    ("    spec:\n      # --dead", "    specs:\n      # --dead"), ("          image: registry.example/tern:0.1.0\n", ""),
]


def main():
    with open(ROOT + "/docs/deploy/kubernetes.yaml") as f:
        text = f.read()
    docs = list(documents(text))
    check("problems", problems(docs), [])
    of_the_program(sys.argv[1], docs[0])
    for a, b in DAMAGED:
        true("the file has %r" % a, a in text)
        true("%r for %r is refused" % (b, a), problems(list(documents(text.replace(a, b, 1)))))
    finish("kubernetes")


main()
