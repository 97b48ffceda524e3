// The conversation: what is asked, how the answer streams in, and what stays in this browser.
//
// `turns` is all there is: {role, text} and, of an answer, {note} or {fault}. It is drawn as it stands; an answer that grows redraws
// its last block, once a frame. Settings and the key stay in localStorage, the conversation in sessionStorage, until the tab is closed.
"use strict";

const $ = id => document.getElementById(id);
const IDEAS = ["Explain tides to a child", "Write a limerick about a tern", "Compare TCP and UDP in a table"];
const OPENINGS = ["KING RICHARD:", "And God said,", "Shall I compare thee"];
let turns = [], models = [], running = null, hasTemplate = true, follows = true;

// ---- What stays in this browser; a browser that keeps nothing is no error

function load(store, name, fallback) {
  try { return JSON.parse(window[store].getItem(name)) || fallback; } catch { return fallback; }
}
function keep(store, name, value) {
  try { window[store].setItem(name, JSON.stringify(value)); } catch { /* full or forbidden */ }
}
let settings = load("localStorage", "tern.settings", {});
let key = load("localStorage", "tern.key", "");

// ---- The server

class Refusal extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

async function ask(path, body, signal) {
  const headers = key ? {Authorization: "Bearer " + key} : {};
  if (body) headers["Content-Type"] = "application/json";
  const r = await fetch(path, {method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal, cache: "no-store"});
  if (r.ok) return r;
  let message = r.status + " " + r.statusText;
  try { message = (await r.json()).error.message; } catch { /* not the server's own */ }
  throw new Refusal(r.status, message);
}

// The data of events, parsed, as they come.
async function* events(response) {
  const reader = response.body.getReader(), decoder = new TextDecoder();
  let held = "";
  for (;;) {
    const {done, value} = await reader.read();
    if (done) throw new Error("The connection broke before the answer ended.");
    held += decoder.decode(value, {stream: true});
    const parts = held.split("\n\n");
    held = parts.pop();
    for (const part of parts) {
      if (part === "data: [DONE]") return;
      if (part.startsWith("data: ")) yield JSON.parse(part.slice(6));
    }
  }
}

function request(seed) {
  const body = {stream: true, stream_options: {include_usage: true}, seed, model: $("model").value};
  for (const name of ["temperature", "top_k", "top_p", "max_tokens"])
    if (settings[name]) body[name] = Number(settings[name]); // texts: "0" counts
  const said = turns.filter(t => !t.fault || t.text).map(t => ({role: t.role, content: t.text}));
  if (!hasTemplate) return Object.assign(body, {prompt: said.map(t => t.content.trimEnd() + "\n").join("")});
  if (settings.system) said.unshift({role: "system", content: settings.system});
  return Object.assign(body, {messages: said});
}

function noteOf(turn, usage, timings) {
  const n = usage.completion_tokens, rate = timings && timings.predicted_per_second;
  turn.note = n + (n === 1 ? " token" : " tokens") + (rate ? " · " + rate.toFixed(1) + " a second" : "") + " · seed " + turn.seed;
}

async function answer() {
  const seed = settings.seed ? Number(settings.seed) : Math.floor(Math.random() * 1e6);
  const body = request(seed), turn = {role: "assistant", text: "", seed};
  turns.push(turn);
  running = new AbortController();
  follows = true;
  draw();
  say("The model answers");
  try {
    const response = await ask(hasTemplate ? "/v1/chat/completions" : "/v1/completions", body, running.signal);
    for await (const e of events(response)) {
      if (e.error) throw new Refusal(500, e.error.message);
      if (e.usage) noteOf(turn, e.usage, e.timings);
      const choice = e.choices[0];
      if (choice) turn.text += (choice.delta ? choice.delta.content : choice.text) || "";
      if (choice && choice.finish_reason === "length") turn.cut = true;
      drawSoon();
    }
    if (turn.cut) turn.note += " · cut here";
  } catch (e) {
    if (e.name === "AbortError") turn.note = "Stopped · seed " + seed;
    else fail(turn, e);
  }
  running = null;
  keepTurns();
  draw();
  say(turn.fault || "The answer: " + turn.text);
}

function fail(turn, e) {
  turn.fault = e instanceof Refusal ? e.message : e instanceof TypeError ? "The server cannot be reached." : e.message;
  if (e.status === 429 || e.status === 503) turn.fault = "The server is busy: " + e.message;
  if (e.status === 401) askKey(e.message);
}

// ---- Drawing

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", "#" + name);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}
function button(name, label, act) {
  const b = make(document, "button", "icon", icon(name));
  b.type = "button";
  b.title = label;
  b.setAttribute("aria-label", label);
  b.addEventListener("click", act);
  return b;
}
// Without TLS a browser has no clipboard for pages of other machines, but still copies what is selected.
async function toClipboard(text) {
  try { await navigator.clipboard.writeText(text); return true; } catch { /* the other way */ }
  const area = make(document, "textarea", "unseen");
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}
async function copy(text, b) {
  if (!await toClipboard(text)) {
    say("The browser does not allow copying");
    return;
  }
  b.replaceChildren(icon("done"));
  say("Copied");
  setTimeout(() => b.replaceChildren(icon("copy")), 1500);
}
function say(text) { $("status").textContent = text; }

// The thoughts that some models put first are folded away.
function split(text) {
  const m = /^\s*<think>([^]*?)(?:<\/think>|$)([^]*)$/.exec(text);
  return m ? [m[1].trim(), m[2]] : ["", text];
}

// Draws a text into `body`, and keeps the blocks that were there before.
function drawText(body, turn) {
  if (!hasTemplate) {
    body.classList.add("plain-text");
    body.textContent = turn.text;
    return;
  }
  const [thought, rest] = split(turn.text), old = body.drawn || [], fresh = markdown(document, rest);
  if (thought) fresh.unshift({source: "think " + thought, node: null});
  let same = 0;
  while (same < old.length && same < fresh.length && old[same].source === fresh[same].source) same++;
  const open = body.querySelector("details") && body.querySelector("details").open;
  for (const b of old.slice(same)) b.node.remove();
  for (const b of fresh.slice(same)) {
    if (!b.node) b.node = thoughtBox(thought, open);
    for (const c of b.node.querySelectorAll(".copy")) c.append(icon("copy"));
    body.append(b.node);
  }
  body.drawn = old.slice(0, same).concat(fresh.slice(same));
}
function thoughtBox(text, open) {
  const box = make(document, "details", "", make(document, "summary", "", "Thoughts"), make(document, "div", "plain-text", text));
  box.open = Boolean(open);
  return box;
}

function drawTurn(turn, at) {
  const body = make(document, "div", "body"), li = make(document, "li", "turn " + (turn.role === "user" ? "user" : "model"));
  li.append(make(document, "h2", "unseen", turn.role === "user" ? "You" : "The model"), body);
  li.turn = turn;
  if (turn.role === "user") {
    body.textContent = turn.text;
    li.append(make(document, "div", "actions", button("pen", "Edit the message", () => edit(li, at)), copyButton(turn, "Copy the message")));
    return li;
  }
  const last = at === turns.length - 1, live = last && running;
  if (turn.text) drawText(body, turn);
  else if (live) body.append(make(document, "div", "wait", ...[0, 1, 2].map(() => make(document, "i"))));
  if (turn.fault) li.append(faultBox(turn, last));
  else if (!live) li.append(answerActions(turn, last));
  return li;
}
function copyButton(turn, label) {
  const b = button("copy", label, () => copy(turn.text, b));
  return b;
}
function answerActions(turn, last) {
  const row = make(document, "div", "actions", copyButton(turn, "Copy the answer"));
  if (last) row.append(button("again", settings.seed ? "Answer again (the seed is fixed)" : "Answer again", again));
  row.append(make(document, "span", "facts", turn.note || ""));
  return row;
}
function faultBox(turn, last) {
  const box = make(document, "div", "fault", make(document, "span", "", turn.fault));
  box.setAttribute("role", "alert");
  if (!last) return box;
  const b = make(document, "button", "plain", "Try again");
  b.addEventListener("click", again);
  box.append(b);
  return box;
}

function draw() {
  $("log").replaceChildren(...turns.map(drawTurn));
  $("log").setAttribute("aria-busy", String(Boolean(running)));
  $("empty").hidden = turns.length > 0;
  $("send").replaceChildren(icon(running ? "stop" : "up"));
  $("send").title = running ? "Stop (Esc)" : "Send (Enter)";
  $("send").setAttribute("aria-label", running ? "Stop" : "Send");
  fit();
  toEnd();
}
let soon = 0;
function drawSoon() {
  if (soon) return;
  soon = requestAnimationFrame(() => {
    const li = $("log").lastElementChild, body = li && li.querySelector(".body");
    soon = 0;
    if (!running || !body || !li.turn.text) return;
    for (const w of body.querySelectorAll(".wait")) w.remove();
    drawText(body, li.turn);
    toEnd();
  });
}
function toEnd() {
  if (follows) $("main").scrollTop = $("main").scrollHeight;
}
function fit() {
  const box = $("box");
  box.style.height = "auto";
  box.style.height = box.scrollHeight + 2 + "px";
  box.style.overflowY = box.scrollHeight > box.clientHeight + 2 ? "auto" : "hidden";
  $("send").disabled = !running && !box.value.trim();
}

// ---- What a person does

function keepTurns() { keep("sessionStorage", "tern.turns", turns); }
function send(text) {
  if (running || !text.trim()) return;
  turns.push({role: "user", text: text.trim()});
  $("box").value = "";
  answer();
}
function stop() {
  if (running) running.abort();
}
function again() {
  if (running || turns.length === 0) return;
  if (turns[turns.length - 1].role === "assistant") turns.pop();
  answer();
  $("box").focus();
}
function edit(li, at) {
  if (running) return;
  const area = make(document, "textarea"), form = make(document, "form", "edit", area);
  const cancel = make(document, "button", "plain", "Cancel"), done = make(document, "button", "main", "Send");
  area.value = turns[at].text;
  area.setAttribute("aria-label", "Edit the message");
  cancel.type = "button";
  form.append(make(document, "div", "row", cancel, done));
  const close = () => { draw(); $("box").focus(); };
  cancel.addEventListener("click", close);
  form.addEventListener("submit", e => {
    e.preventDefault();
    if (!area.value.trim()) return;
    turns.length = at;
    send(area.value);
    $("box").focus();
  });
  area.addEventListener("keydown", e => {
    if (e.key === "Escape") { e.stopPropagation(); close(); }
    if (e.key === "Enter" && !e.shiftKey && !e.isComposing) { e.preventDefault(); form.requestSubmit(); }
  });
  li.replaceChildren(form);
  area.focus();
}

$("form").addEventListener("submit", e => {
  e.preventDefault();
  if (running) stop();
  else send($("box").value);
});
$("box").addEventListener("input", fit);
$("box").addEventListener("keydown", e => {
  if (e.key !== "Enter" || e.shiftKey || e.isComposing) return;
  e.preventDefault();
  send($("box").value);
});
document.addEventListener("keydown", e => {
  if (e.key === "Escape" && !document.querySelector("dialog[open]")) stop();
});
$("main").addEventListener("scroll", () => {
  const m = $("main");
  follows = m.scrollHeight - m.scrollTop - m.clientHeight < 60;
  $("latest").hidden = follows;
});
$("latest").addEventListener("click", () => { follows = true; toEnd(); });
$("log").addEventListener("click", e => {
  const b = e.target.closest(".copy");
  if (b) copy(b.closest("figure").querySelector("code").textContent, b);
});
$("new").addEventListener("click", () => {
  stop();
  turns = [];
  keepTurns();
  draw();
  $("box").focus();
});

// ---- Settings

const fields = $("settings").querySelector("form").elements;
const dark = matchMedia("(prefers-color-scheme: dark)");
function isDark() { return settings.theme === "light" || settings.theme === "dark" ? settings.theme === "dark" : dark.matches; }
function drawTheme() {
  document.documentElement.dataset.theme = settings.theme || "";
  $("theme").replaceChildren(icon(isDark() ? "light" : "dark"));
  $("theme").setAttribute("aria-label", isDark() ? "Light colours" : "Dark colours");
}
function fillSettings() {
  for (const name of ["system", "temperature", "max_tokens", "top_k", "top_p", "seed"]) fields[name].value = settings[name] || "";
  fields.theme.value = settings.theme || "system";
  drawTheme();
}
function keepSettings() { keep("localStorage", "tern.settings", settings); }
$("settings").addEventListener("input", e => {
  if (!e.target.validity.valid) return;
  settings[e.target.name] = e.target.value;
  keepSettings();
  drawTheme();
});
$("settings").addEventListener("click", e => { if (e.target === $("settings")) $("settings").close(); });
$("settings").addEventListener("close", () => { fillSettings(); $("box").focus(); });
$("open-settings").addEventListener("click", () => { fillSettings(); $("settings").showModal(); });
$("reset").addEventListener("click", () => { settings = {}; keepSettings(); fillSettings(); });
$("theme").addEventListener("click", () => { settings.theme = isDark() ? "light" : "dark"; keepSettings(); drawTheme(); });
dark.addEventListener("change", drawTheme);

// ---- The key

function askKey(message) {
  $("key-note").textContent = key ? "The server refused this key: " + message : "It stays in this browser.";
  $("key-text").value = key;
  if (!$("key").open) $("key").showModal();
}
$("key").addEventListener("close", () => {
  if ($("key").returnValue === "ok") {
    key = $("key-text").value.trim();
    keep("localStorage", "tern.key", key);
    begin();
  }
  $("key").returnValue = "";
});
$("key-cancel").addEventListener("click", () => $("key").close());

// ---- The beginning

function drawFacts() {
  const model = models.find(m => m.id === $("model").value), meta = (model && model.meta) || {};
  const n = meta.n_params, size = n >= 1e9 ? (n / 1e9).toFixed(1) + " billion" : (n / 1e6).toFixed(1) + " million";
  $("facts").textContent = n ? size + " ternary parameters, a context of " + meta.context.toLocaleString("en") + " tokens" : "";
  $("lead").textContent = hasTemplate ? "What would you like to know?" : "Begin a text, and the model goes on";
  $("box").placeholder = hasTemplate ? "Write a message" : "Begin a text";
  $("system-row").hidden = !hasTemplate;
  $("ideas").replaceChildren(...(hasTemplate ? IDEAS : OPENINGS).map(text => {
    const b = make(document, "button", "", text);
    b.type = "button";
    b.addEventListener("click", () => { send(text); $("box").focus(); });
    return b;
  }));
}
function shown(v) { return v === undefined ? "" : v === -1 ? "No bound" : String(v); }

function takeProps(model, props) {
  model.meta.context = props.default_generation_settings.n_ctx;
  hasTemplate = Boolean(props.chat_template);
}

async function begin() {
  try {
    const [list, props] = await Promise.all([ask("/v1/models").then(r => r.json()), ask("/props").then(r => r.json())]);
    const defaults = props.default_generation_settings;
    models = list.data;
    takeProps(models[0], props);
    $("model").replaceChildren(...models.map(m => new Option(m.id, m.id)));
    $("model").disabled = models.length < 2;
    document.title = models.length === 1 ? models[0].id + " · Tern" : "Tern";
    for (const name of ["temperature", "max_tokens", "top_k", "top_p"]) fields[name].placeholder = shown(defaults.params[name]);
    drawFacts();
    draw();
  } catch (e) {
    if (e.status === 401) askKey(e.message);
    else $("facts").textContent = e instanceof TypeError ? "The server cannot be reached." : e.message;
  }
}
// Another model may have another context, and no chat template, or one.
$("model").addEventListener("change", async () => {
  const model = models.find(m => m.id === $("model").value);
  const chosen = () => $("model").value === model.id; // answers may come in another order than they were asked for
  try {
    const props = await ask("/props?model=" + encodeURIComponent(model.id)).then(r => r.json());
    if (!chosen()) return;
    takeProps(model, props);
    drawFacts();
  } catch (e) {
    if (chosen()) $("facts").textContent = e instanceof TypeError ? "The server cannot be reached." : e.message;
  }
});
turns = load("sessionStorage", "tern.turns", []);
fillSettings();
draw();
begin();
