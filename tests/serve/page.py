"""The page of tern serve, without a browser: what is served, that it asks for nothing else, and what its markdown becomes."""
import os, re, shutil, subprocess, sys
from html.parser import HTMLParser
from client import Server, check, finish, true

HERE = os.path.dirname(os.path.abspath(__file__))
FILES = os.path.join(HERE, "../../frontends/serve/page/")


class Page(HTMLParser):
    VOID = {"meta", "link", "input", "br", "path", "circle", "rect", "use"}

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.tags, self.parts, self.unnamed = [], [], [], {}, []
        self.feed(text)
        check("elements that are not closed", self.open, [])

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        if "id" in attrs:
            self.ids.append(attrs["id"])
        if tag not in self.VOID:
            self.open.append(tag)
        if tag in ("input", "textarea", "select") and "label" not in self.open and "aria-label" not in attrs:
            self.unnamed.append(attrs)
        if tag == "button" and "icon" in attrs.get("class", "") and "aria-label" not in attrs:
            self.unnamed.append(attrs)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        check("what is closed", tag, self.open.pop() if self.open else None)

    def handle_data(self, data):
        if self.open and self.open[-1] in ("script", "style"):
            self.parts.setdefault(self.open[-1], []).append(data)


def served(s):
    status, headers, text = s.ask("GET", "/")
    check("the page", (status, headers["Content-Type"], headers["X-Content-Type-Options"], headers["Cache-Control"]),
          (200, "text/html; charset=utf-8", "nosniff", "no-store"))
    policy = headers["Content-Security-Policy"]
    word = re.search(r"script-src 'nonce-([0-9a-f]{32})'; style-src 'nonce-([0-9a-f]{32})'", policy)
    true("a word for scripts and styles", word and word.group(1) == word.group(2))
    for part in ("default-src 'none'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"):
        true(part, part in policy.split("; "))
    true("another word each time", word.group(1) not in s.ask("GET", "/")[1]["Content-Security-Policy"])
    true("it is small", len(text) < 100000)
    check("HEAD", s.ask("HEAD", "/")[::2], (200, ""))
    p = Page(text)
    check("words of elements", [a.get("nonce") for t, a in p.tags if t in ("script", "style")], [word.group(1)] * 3)
    check("ids once", sorted(p.ids), sorted(set(p.ids)))
    check("fields and buttons without a name", p.unnamed, [])
    check("what would be asked for elsewhere", [(t, k, v) for t, a in p.tags for k, v in a.items()
                                               if k in ("src", "href", "action", "srcset") and not v.startswith(("#", "data:"))], [])
    check("handlers and styles in elements", [k for _, a in p.tags for k in a if k.startswith("on") or k == "style"], [])
    check("symbols that are used", [a["href"] for t, a in p.tags if t == "use" and a["href"][1:] not in p.ids], [])
    check("the whole of each file", [x.strip() for x in p.parts["style"] + p.parts["script"]],
          [open(FILES + name).read().strip() for name in ("page.css", "markdown.js", "chat.js")])
    script = "".join(p.parts["script"])
    check("ways to make elements of text", re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|Function\(|srcdoc", script), [])
    check("ids that scripts name", [i for i in re.findall(r'\$\("([^"]+)"\)', script) if i not in p.ids], [])
    check("icons that scripts name", [i for i in re.findall(r'\b(?:icon|button)\("([^"]+)"', script) if i not in p.ids], [])
    check("outside addresses in styles", re.findall(r"url\(|@import", "".join(p.parts["style"])), [])


def main():
    with Server(sys.argv[1], "-c", "128") as s:
        served(s)
    keys = sys.argv[1] + "/page_keys.%d" % os.getpid()
    with open(keys, "w") as f:
        f.write("secret\n")
    try:
        with Server(sys.argv[1], "-c", "128", "--api-key", keys) as s:
            check("the page asks for no key", s.ask("GET", "/")[0], 200)
            check("but all that it does asks for one", [s.ask("GET", p)[0] for p in ("/props", "/v1/models")], [401, 401])
    finally:
        os.unlink(keys)
    if shutil.which("node"):
        check("markdown", subprocess.run(["node", HERE + "/page_markdown.js", FILES + "markdown.js"]).returncode, 0)
        check("the other script is one", subprocess.run(["node", "--check", FILES + "chat.js"]).returncode, 0)
    else:
        print("the scripts were not run: there is no node")
    finish("page")


main()
