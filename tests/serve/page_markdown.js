// frontends/serve/page/markdown.js with a document of a few lines: what texts become, that nothing of them is anything but text,
// and that bad ones take no time worth mention. Argument: the file.
"use strict";
const fs = require("fs"), vm = require("vm");
const {check, ok, finish} = require("./check.js");

const ELEMENTS = /^(p|h[3-6]|ul|ol|li|blockquote|hr|br|strong|em|del|code|pre|figure|figcaption|span|button|a|div|table|thead|tbody|tr|th|td)$/;
class Node {
  constructor(name, text) { Object.assign(this, {nodeName: name.toUpperCase(), name, text, childNodes: [], set: {}, style: {}, className: ""}); }
  appendChild(c) { this.childNodes.push(c); return c; }
  setAttribute(k, v) { this.set[k] = String(v); }
  toString() {
    if (this.name === "#text") return this.text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
    const href = this.set.href ? " " + this.set.href : "", align = this.style.textAlign ? " " + this.style.textAlign : "";
    const start = this.set.start ? " " + this.set.start : "", mark = this.className.startsWith("c-") ? "." + this.className.slice(2) : "";
    return "<" + this.name + mark + href + align + start + ">" + this.childNodes.join("") + (/^(br|hr)$/.test(this.name) ? "" : "</>");
  }
}
const seen = new Set();
const doc = {
  createElement(name) { seen.add(name); return new Node(name); },
  createTextNode(text) { if (typeof text !== "string") throw new Error("a text that is none"); return new Node("#text", text); },
};
const context = vm.createContext({});
vm.runInContext(fs.readFileSync(process.argv[2], "utf8") + "\nthis.markdown = markdown; this.LINK = LINK;", context);
const draw = text => context.markdown(doc, text).map(b => b.node.toString()).join("");

const CASES = [
  ["", ""],
  ["one\ntwo\n\nthree", "<p>one<br>two</><p>three</>"],
  ["# A\n### B #\n####### no", "<h3>A</><h5>B</><p>####### no</>"],
  ["**b** *i* ***bi*** ~~d~~ __b__ _i_ `c`", "<p><strong>b</> <em>i</> <strong><em>bi</></> <del>d</> <strong>b</> <em>i</> <code>c</></>"],
  ["*a **b** c* **a *b***", "<p><em>a <strong>b</> c</> <strong>a <em>b</></></>"],
  ["snake_case_name 2 * 3 * 4 **open", "<p>snake_case_name 2 * 3 * 4 **open</>"],
  ["`` a`b `` `open", "<p><code>a`b</> `open</>"],
  ["` a ` ` a` `  ` `  a `", "<p><code>a</> <code> a</> <code>  </> <code> a</></>"],
  ["\\*no\\* \\<b>", "<p>*no* &lt;b></>"],
  ["- a\n- b\n  - c\n- d", "<ul><li>a</><li>b<ul><li>c</></></><li>d</></>"],
  ["3. a\n4. b\n\n   c\n5) d", "<ol 3><li>a</><li>b<p>c</></><li>d</></>"],
  ["* a\n\n* b\n\nafter", "<ul><li>a</><li>b</></><p>after</>"],
  ["> a\n> > b\n\nc", "<blockquote><p>a</><blockquote><p>b</></></><p>c</>"],
  ["a\n---\n***", "<p>a</><hr><hr>"],
  ["[t](https://a.b/c_(d)) <x>", "<p><a https://a.b/c_(d)>t</> &lt;x></>"],
  ["see https://a.b/c?d=e. ok", "<p>see <a https://a.b/c?d=e>https://a.b/c?d=e</>. ok</>"],
  ["[x](javascript:alert(1)) [y](data:text/html,z) [z](/local)", "<p>x y z</>"],
  ["![pic](https://a.b/c.png) ![no](x.png)", "<p><a https://a.b/c.png>pic</> no</>"],
  ["<script>alert(1)</script>\n<img src=x onerror=alert(1)>", "<p>&lt;script>alert(1)&lt;/script><br>&lt;img src=x onerror=alert(1)></>"],
  ["|a|b|c|\n|:-|:-:|-:|\n|1|`x\\|y`|3|4|", "<div><table><thead><tr><th>a</><th center>b</><th right>c</></></><tbody><tr><td>1</><td center><code>x|y</></><td right>3</></></></></>"],
  ["a | b\n  --- | -  \n1|2", "<div><table><thead><tr><th>a</><th>b</></></><tbody><tr><td>1</><td>2</></></></></>"],
  ["[t](  https://a.b  \"x\"  )", "<p><a https://a.b>t</></>"],
  ["a | b\nno", "<p>a | b<br>no</>"],
  ["```c\nint x = 1; // n\n```\nafter", "<figure><figcaption><span>c</><button></></><pre><code><span.word>int</> x = <span.number>1</>; <span.note>// n</></></></><p>after</>"],
  ["~~~\n```\n<b>\n~~~", "<figure><figcaption><span>text</><button></></><pre><code>```\n&lt;b></></></>"],
  ["```py\nprint('a') # b", "<figure><figcaption><span>py</><button></></><pre><code>print(<span.text>'a'</>) <span.note># b</></></></>"],
];
for (const [text, expected] of CASES) check(JSON.stringify(text), draw(text), expected);

// A text that grows: blocks before the last stay, by their source.
const grown = "# A\n\none *two*\n\n- a\n- b\n\n```js\nlet x\n```\n\nend";
for (let n = 1; n < grown.length; n++) {
  const a = context.markdown(doc, grown.slice(0, n)), b = context.markdown(doc, grown.slice(0, n + 1));
  for (let i = 0; i < a.length - 1; i++) ok("block " + i + " of " + n, a[i].source === b[i].source && a[i].node.toString() === b[i].node.toString());
}

// All letters arrive, whatever marks they are among; addresses of links and cells beyond a table's columns aside.
let seed = 1;
const random = n => (seed = (seed * 48271) % 2147483647) % n;
const PARTS = ["*", "**", "_", "`", "```", "\n", "\n\n", "> ", "- ", "1. ", "  ", "[", "](", ")", "|", "---", "#", "# ", "<b>", "\\", "~~", "a", "b c", "http://x.y", "!", "\u{1f426}"];
for (let i = 0; i < 3000; i++) {
  let text = "";
  for (let k = random(14) + 1; k; k--) text += PARTS[random(PARTS.length)];
  const letters = t => (t.match(/[ac\u{1f426}]/gu) || []).sort().join("");
  const flat = n => n.name === "#text" ? n.text : n.childNodes.map(flat).join("");
  const drawn = context.markdown(doc, text).map(b => flat(b.node)).join(""), table = /-/.test(text) && /\|/.test(text);
  if (!table && !text.includes("](")) check("letters of " + JSON.stringify(text), letters(drawn), letters(text));
}
for (const name of seen) ok("an element " + name, ELEMENTS.test(name));

for (const part of ["*a **b ", "[", "[a](", "`a ``b ", "> ", "- a\n", "  - ", "|a", "\n", " \n- x", "#", "a_b_", "```\n", "~~a", "\\", "<think>", "https://", "* "]) {
  const text = part.repeat(Math.ceil(30000 / part.length));
  ok("much of " + JSON.stringify(part), draw(text).length > 0 || !text.trim());
}

// Two runs of blanks without a bound take time by their square, which no result shows.
const blanks = " ".repeat(20000);
ok("blanks in a link are bounded", !/\\s[*+]/.test(context.LINK.source));
for (const text of ["[a](" + blanks + "x", "[a](x" + blanks + "y", "[a](x" + blanks + "\"t\"" + blanks + "y"])
  ok("no link: " + text.slice(0, 5), draw(text).includes(text));
ok("no table", draw("a|b\n" + blanks + "--" + blanks + "x") === "<p>a|b<br>--" + blanks + "x</>");
ok("code", draw("`" + blanks + "a`") === "<p><code>" + blanks + "a</></>");
finish("page markdown");
