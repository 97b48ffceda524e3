// Markdown to nodes. A model's text becomes text nodes and a fixed set of elements, never HTML: whatever it holds is shown, not run.
//
// markdown(doc, text) returns a list of {source, node}, one a block, so that a text that grows redraws its last block only.
// Time is linear in the text for each level of nesting, and there are at most DEEPEST levels: what lies deeper is shown as text.
"use strict";

const DEEPEST = 12;

function make(doc, name, className, ...children) {
  const e = doc.createElement(name);
  if (className) e.className = className;
  for (const c of children) e.appendChild(typeof c === "string" ? doc.createTextNode(c) : c);
  return e;
}

// ---- Parts of a line

// Blanks are bounded: two runs of them side by side would be tried at each place where the first may end.
const LINK = /\[([^[\]]*)\]\(\s{0,9}<?([^\s<>()]*(?:\([^\s<>()]*\)[^\s<>()]*)*)>?(?:\s{1,9}"[^"\n]*")?\s{0,9}\)/y;
const BARE = /https?:\/\/[^\s<>"'`)\]]*[^\s<>"'`)\].,;:!?*_~]/y;
const SAFE = /^(?:https?:\/\/|mailto:)/i;
const MARKS = [["***", "strong"], ["**", "strong"], ["__", "strong"], ["~~", "del"], ["*", "em"], ["_", "em"]];
const isWord = c => c !== undefined && /[\p{L}\p{N}]/u.test(c);

function anchor(doc, url, children) {
  const a = make(doc, "a", "", ...children);
  a.setAttribute("href", url);
  a.setAttribute("target", "_blank");
  a.setAttribute("rel", "noopener noreferrer nofollow");
  return a;
}

// Where the mark that was opened before `from` is closed; -1: nowhere.
function findClose(text, mark, from) {
  for (let at = text.indexOf(mark, from); at >= 0; at = text.indexOf(mark, at + 1)) {
    if (at === from || /\s/.test(text[at - 1]) || text[at - 1] === "\\") continue;
    if (mark.length === 1 && (text[at + 1] === mark || text[at - 1] === mark)) continue;
    if (mark.length === 2 && text[at + 2] === mark[0]) at++; // **a *b***
    if (mark[0] === "_" && isWord(text[at + mark.length])) continue;
    return at;
  }
  return -1;
}

function inline(doc, text, depth) {
  const out = [], missing = new Set();
  let plain = "", at = 0;
  const flush = () => { if (plain) out.push(doc.createTextNode(plain)); plain = ""; };
  const put = (node, next) => { flush(); out.push(node); at = next; };

  function code() {
    let n = 1;
    while (text[at + n] === "`") n++;
    const fence = "`".repeat(n);
    let end = missing.has(fence) ? -1 : text.indexOf(fence, at + n);
    while (end >= 0 && text[end + n] === "`") {
      while (text[end] === "`") end++;
      end = text.indexOf(fence, end);
    }
    if (end < 0) {
      missing.add(fence);
      plain += fence;
      at += n;
      return;
    }
    put(make(doc, "code", "", text.slice(at + n, end).replace(/^ (?! *$)(.*) $/s, "$1").replace(/\n/g, " ")), end + n);
    return true;
  }

  function link(image) {
    LINK.lastIndex = at + image;
    const m = LINK.exec(text);
    if (!m) return false;
    const shown = m[1] || m[2];
    if (SAFE.test(m[2])) put(anchor(doc, m[2], image ? [shown] : inline(doc, shown, depth + 1)), LINK.lastIndex);
    else { plain += shown; at = LINK.lastIndex; }
    return true;
  }

  function bare() {
    BARE.lastIndex = at;
    const m = isWord(text[at - 1]) ? null : BARE.exec(text);
    if (m) put(anchor(doc, m[0], [m[0]]), BARE.lastIndex);
    return m !== null;
  }

  function emphasis() {
    for (const [mark, name] of MARKS) {
      if (!text.startsWith(mark, at) || missing.has(mark)) continue;
      const from = at + mark.length;
      if (from >= text.length || /\s/.test(text[from]) || (mark[0] === "_" && isWord(text[at - 1]))) continue;
      const end = findClose(text, mark, from);
      if (end < 0) { missing.add(mark); continue; }
      const inner = inline(doc, text.slice(from, end), depth + 1);
      put(make(doc, name, "", ...(mark.length === 3 ? [make(doc, "em", "", ...inner)] : inner)), end + mark.length);
      return true;
    }
    return false;
  }

  if (depth > DEEPEST) return [doc.createTextNode(text)];
  while (at < text.length) {
    const c = text[at];
    if (c === "\\" && /[!-/:-@[-`{-~]/.test(text[at + 1] || "")) { plain += text[at + 1]; at += 2; continue; }
    if (c === "\n" || (c === "\\" && text[at + 1] === "\n")) {
      plain = plain.trimEnd();
      put(doc.createElement("br"), at + (c === "\n" ? 1 : 2));
      continue;
    }
    if (c === "`") { code(); continue; }
    if (c === "!" && text[at + 1] === "[" && link(1)) continue;
    if (c === "[" && link(0)) continue;
    if (c === "h" && bare()) continue;
    if ((c === "*" || c === "_" || c === "~") && emphasis()) continue;
    if (c === "*" || c === "_" || c === "~") { // a run that opens nothing is text as a whole
      while (text[at] === c) { plain += c; at++; }
      continue;
    }
    plain += c;
    at++;
  }
  flush();
  return out;
}

// ---- Code

const HASH_NOTES = /^(py|python|sh|bash|shell|zsh|console|rb|ruby|ya?ml|toml|ini|make|makefile|dockerfile|r|perl|pl|conf|nix)$/;
const DASH_NOTES = /^(sql|lua|haskell|hs|ada|elm)$/;
const NO_COLOURS = /^(|text|txt|plain|plaintext|markdown|md|output|diff)$/;
const WORDS = new Set(("abstract and as asm assert async await auto begin bool boolean break byte case catch char class const continue " +
  "def default defer del do done double elif else elsif end enum esac except export extends extern false fi final finally float fn for " +
  "foreach from func function global go goto if impl implements import in include inline insert int interface into is lambda let local " +
  "long loop match mod module mut namespace new nil none None not null nullptr of or override package pass private protected pub public " +
  "raise repeat require restrict return select self short signed sizeof static string struct super switch then this throw throws trait " +
  "true True False try type typedef typeof union unless unsafe unsigned until use using val var virtual void volatile when where while " +
  "with yield SELECT FROM WHERE INSERT INTO UPDATE DELETE CREATE TABLE JOIN ON ORDER GROUP BY AND OR NOT NULL AS SET VALUES").split(" "));

function colours(doc, source, language) {
  const lang = language.toLowerCase();
  if (NO_COLOURS.test(lang)) return [doc.createTextNode(source)];
  const note = HASH_NOTES.test(lang) ? "#[^\\n]*" : DASH_NOTES.test(lang) ? "--[^\\n]*" : "\\/\\/[^\\n]*|\\/\\*[^]*?(?:\\*\\/|$)";
  const tokens = new RegExp("(" + note + ")|(\"(?:\\\\.|[^\"\\\\\\n])*\"|'(?:\\\\.|[^'\\\\\\n])*'|`(?:\\\\.|[^`\\\\])*`)" +
    "|(\\b(?:0[xX][\\da-fA-F_]+|\\d[\\d_]*(?:\\.\\d+)?(?:[eE][+-]?\\d+)?)\\b)|([A-Za-z_]\\w*)", "g");
  const out = [];
  let at = 0;
  for (const m of source.matchAll(tokens)) {
    const kind = m[1] ? "c-note" : m[2] ? "c-text" : m[3] ? "c-number" : WORDS.has(m[4]) ? "c-word" : "";
    if (!kind) continue;
    if (m.index > at) out.push(doc.createTextNode(source.slice(at, m.index)));
    out.push(make(doc, "span", kind, m[0]));
    at = m.index + m[0].length;
  }
  if (at < source.length) out.push(doc.createTextNode(source.slice(at)));
  return out;
}

// The button's work is chat.js's: it finds buttons of class `copy`.
function codeBlock(doc, source, info) {
  const language = info.split(/\s/)[0];
  const button = make(doc, "button", "icon copy");
  button.setAttribute("type", "button");
  button.setAttribute("aria-label", "Copy the code");
  button.setAttribute("title", "Copy");
  const pre = make(doc, "pre", "", make(doc, "code", "", ...colours(doc, source, language)));
  pre.setAttribute("tabindex", "0");
  pre.setAttribute("aria-label", language ? "Code, " + language : "Code");
  return make(doc, "figure", "code", make(doc, "figcaption", "", make(doc, "span", "", info || "text"), button), pre);
}

// ---- Blocks

const FENCE = /^ {0,3}(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})(?:\s+(.*))?$/;
const RULE = /^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(?: +|$)/;
const DELIMITERS = /^\|? *:?-+:? *(?:\| *:?-+:? *)*\|?$/; // of a line without blanks at its ends
const blank = line => /^\s*$/.test(line);
const startsBlock = line => FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || ITEM.test(line);

const cells = line => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map(c => c.trim().replace(/\\\|/g, "|"));

function table(doc, lines, depth) {
  const align = cells(lines[1]).map(c => (c.endsWith(":") ? (c.startsWith(":") ? "center" : "right") : ""));
  const row = (line, name) => make(doc, "tr", "", ...cells(line).slice(0, align.length).map((c, i) => {
    const cell = make(doc, name, "", ...inline(doc, c, depth));
    if (align[i]) cell.style.textAlign = align[i];
    return cell;
  }));
  const box = make(doc, "div", "scroll", make(doc, "table", "", make(doc, "thead", "", row(lines[0], "th")),
    make(doc, "tbody", "", ...lines.slice(2).map(line => row(line, "td")))));
  box.setAttribute("tabindex", "0");
  return box;
}

// Lines of a list from `at`; returns the line after it.
function list(doc, lines, at, depth, out) {
  const first = ITEM.exec(lines[at]), ordered = /\d/.test(first[2]), base = first[1].length;
  const node = make(doc, ordered ? "ol" : "ul");
  if (ordered && parseInt(first[2], 10) !== 1) node.setAttribute("start", String(parseInt(first[2], 10)));
  while (at < lines.length) {
    const m = ITEM.exec(lines[at]);
    if (!m || m[1].length > base + 1 || /\d/.test(m[2]) !== ordered || RULE.test(lines[at])) break;
    const width = Math.min(m[0].length, m[1].length + m[2].length + 4) || 2;
    const inner = [lines[at].slice(m[0].length)];
    for (at++; at < lines.length; at++) {
      const indent = /^ */.exec(lines[at])[0].length;
      if (blank(lines[at])) {
        let next = at;
        while (next < lines.length && blank(lines[next])) next++;
        if (next === lines.length || /^ */.exec(lines[next])[0].length <= base + 1) {
          if (next < lines.length && ITEM.test(lines[next])) at = next;
          break;
        }
        inner.push("");
        at = next - 1;
      } else if (indent > base + 1) inner.push(lines[at].slice(Math.min(indent, width)));
      else if (startsBlock(lines[at])) break;
      else inner.push(lines[at]);
    }
    const parts = blocks(doc, inner, depth + 1).map(b => b.node);
    const tight = parts.length && parts[0].nodeName === "P" ? Array.from(parts.shift().childNodes) : [];
    node.appendChild(make(doc, "li", "", ...tight, ...parts));
  }
  out.push(node);
  return at;
}

function blocks(doc, lines, depth) {
  const out = [];
  let at = 0;
  const add = (node, from) => out.push({source: lines.slice(from, at).join("\n"), node});
  if (depth > DEEPEST) return [{source: lines.join("\n"), node: make(doc, "p", "", lines.join("\n"))}];
  while (at < lines.length) {
    const from = at, line = lines[at];
    let m;
    if (blank(line)) {
      at++;
    } else if ((m = FENCE.exec(line))) {
      const close = new RegExp("^ {0,3}" + (m[1][0] === "`" ? "`" : "~") + "{" + m[1].length + ",}\\s*$");
      for (at++; at < lines.length && !close.test(lines[at]);) at++;
      const source = lines.slice(from + 1, at).join("\n");
      if (at < lines.length) at++;
      add(codeBlock(doc, source, m[2].trim()), from);
    } else if ((m = HEADING.exec(line))) {
      at++;
      const level = Math.min(6, m[1].length + 2); // below the page's own
      add(make(doc, "h" + level, "", ...inline(doc, (m[2] || "").trimEnd().replace(/\s#+$/, ""), depth)), from);
    } else if (RULE.test(line)) {
      at++;
      add(doc.createElement("hr"), from);
    } else if (QUOTE.test(line)) {
      while (at < lines.length && QUOTE.test(lines[at])) at++;
      add(make(doc, "blockquote", "", ...blocks(doc, lines.slice(from, at).map(l => l.replace(QUOTE, "")), depth + 1).map(b => b.node)), from);
    } else if (ITEM.test(line)) {
      const nodes = [];
      at = list(doc, lines, at, depth, nodes);
      add(nodes[0], from);
    } else if (line.includes("|") && at + 1 < lines.length && lines[at + 1].includes("-") && DELIMITERS.test(lines[at + 1].trim()) &&
               cells(line).length === cells(lines[at + 1]).length) {
      for (at += 2; at < lines.length && lines[at].includes("|");) at++;
      add(table(doc, lines.slice(from, at), depth), from);
    } else {
      for (at++; at < lines.length && !blank(lines[at]) && !startsBlock(lines[at]);) at++;
      add(make(doc, "p", "", ...inline(doc, lines.slice(from, at).map(l => l.replace(/^ +/, "")).join("\n"), depth)), from);
    }
  }
  return out;
}

function markdown(doc, text) {
  return blocks(doc, text.replace(/\r\n?/g, "\n").replace(/\t/g, "    ").split("\n"), 0);
}
