// Drives the page. Arguments: the browser, the server's address, and that of one that asks for a key.
"use strict";
const {chromium} = require("playwright-core");
const {check, ok, finish} = require("./check.js");
const [, , program, address, locked] = process.argv;
const errors = [], asked = new Set();

async function open(browser, options, url) {
  const context = await browser.newContext(options), page = await context.newPage();
  page.setDefaultTimeout(120000);
  page.on("pageerror", e => errors.push(e.message));
  page.on("console", m => { if (m.type() === "error" && !/40[01]|429/.test(m.text())) errors.push(m.text()); });
  page.on("request", r => asked.add(new URL(r.url()).origin));
  await page.goto(url);
  return page;
}
const ready = page => page.waitForFunction(() => document.querySelector("#ideas button"));
const idle = page => page.waitForFunction(() => document.querySelector("#log").getAttribute("aria-busy") === "false");
const texts = (page, selector) => page.locator(selector).allTextContents();
async function say(page, text) {
  await page.fill("#box", text);
  await page.press("#box", "Enter");
  await idle(page);
}
async function shot(page, name) {
  if (process.env.TERN_SHOTS) await page.screenshot({path: process.env.TERN_SHOTS + "/" + name + ".png"});
}

async function chats(page) {
  await ready(page);
  check("the box has the focus", await page.evaluate(() => document.activeElement.id), "box");
  ok("nothing to send", await page.locator("#send").isDisabled());
  await page.fill("#box", "the sun");
  await page.press("#box", "Shift+Enter");
  await page.keyboard.type("now");
  check("a line", await page.inputValue("#box"), "the sun\nnow");
  await page.press("#box", "Enter");
  await idle(page);
  check("what was said", await texts(page, ".turn .body"), ["the sun\nnow", "It shines."]);
  check("read out", await page.textContent("#status"), "The answer: It shines.");
  ok("tokens and seed are shown", /^4 tokens · .* · seed \d+$/.test(await page.textContent(".facts")));
  await say(page, "count");
  check("the conversation goes on", (await texts(page, ".turn .body")).slice(2), ["count", "one two three four five six seven eight nine ten"]);
  await page.click(".turn:last-child [title='Answer again']");
  await idle(page);
  check("again", (await texts(page, ".turn .body")).length, 4);
  await page.hover(".turn:first-child");
  await page.click(".turn:first-child [title='Edit the message']");
  await page.fill(".edit textarea", "split");
  await page.press(".edit textarea", "Enter");
  await idle(page);
  check("an edit drops what came after", await texts(page, ".turn .body"), ["split", "grün"]);
  await page.reload();
  await ready(page).catch(() => {});
  check("a reload keeps it", await texts(page, ".turn .body"), ["split", "grün"]);
  await page.click("#new");
  check("a new one", await texts(page, ".turn .body"), []);
}

async function draws(page) {
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await say(page, "blocks");
  check("blocks", await page.evaluate(() => [...document.querySelector(".model .body").children].map(e => e.nodeName)), ["H3", "P", "FIGURE", "UL"]);
  await page.click("figure .copy");
  check("code is copied", await page.evaluate(() => navigator.clipboard.readText()), "int x;");
  const real = "Object.getOwnPropertyDescriptor(Navigator.prototype, 'clipboard').get.call(navigator)";
  await page.evaluate(() => Object.defineProperty(navigator, "clipboard", {value: undefined, configurable: true}));
  await page.click("[title='Copy the message']");
  await page.waitForSelector("[title='Copy the message'] use[href='#done']");
  check("without a clipboard", await page.evaluate(real + ".readText()"), "blocks");
  await page.evaluate(() => { delete navigator.clipboard; });
  await say(page, "evil");
  await page.waitForTimeout(50);
  ok("nothing of a text runs", (await page.title()) !== "bad");
  check("nor becomes an element", await page.locator(".body img, .body script, .body a").count(), 0);
  ok("it is shown", (await texts(page, ".model .body")).pop().startsWith("<img src=x onerror="));
  await say(page, "think");
  check("thoughts are folded", [await texts(page, "details summary"), await page.locator("details[open]").count()], [["Thoughts"], 0]);
  await shot(page, "texts");
}

// A bad temperature is refused, so the server's own line is shown; then it is mended.
async function settings(page) {
  await page.click("#open-settings");
  ok("the dialog has the focus", await page.evaluate(() => document.querySelector("#settings").contains(document.activeElement)));
  await page.fill("[name=temperature]", "1");
  await page.fill("[name=seed]", "7");
  await page.fill("[name=system]", "the sun");
  await page.keyboard.press("Escape");
  await page.click("#new");
  const [request] = await Promise.all([page.waitForRequest(/completions/), say(page, "pick")]);
  const body = request.postDataJSON();
  check("settings are sent", [body.temperature, body.seed, body.messages[0], body.top_k], [1, 7, {role: "system", content: "the sun"}, undefined]);
  const first = await page.textContent(".model .body");
  for (let i = 0; i < 3; i++) {
    await page.click("[title^='Answer again']");
    await idle(page);
    check("a seed gives the same answer", await page.textContent(".model .body"), first);
  }
  const saved = await page.evaluate(() => JSON.parse(localStorage["tern.settings"]));
  check("they are kept", [saved.temperature, saved.seed], ["1", "7"]);
  await page.click("#theme");
  check("a switch of colours", await page.evaluate(() => document.documentElement.dataset.theme), "dark");
  await page.click("#open-settings");
  await shot(page, "settings");
  await page.click("#reset");
  await page.click("#settings .main");
  check("reset", await page.evaluate(() => localStorage["tern.settings"]), "{}");
}

async function stops(page) {
  await page.click("#new");
  await page.route("**/v1/chat/completions", async route => { // the model is quick, so the answer waits
    await new Promise(done => setTimeout(done, 60000));
    await route.abort().catch(() => {});
  });
  for (const how of [() => page.keyboard.press("Escape"), () => page.click("#send")]) {
    await page.fill("#box", "count");
    await page.press("#box", "Enter");
    await page.waitForSelector("#send[aria-label='Stop']");
    await how();
    await idle(page);
    ok("stopped", (await texts(page, ".facts")).pop().startsWith("Stopped"));
  }
  await page.unroute("**/v1/chat/completions");
  await page.route("**/v1/chat/completions", route => route.fulfill({status: 429, headers: {"Retry-After": "1"},
    contentType: "application/json", body: JSON.stringify({error: {message: "3 requests wait"}})}));
  await page.click("#new");
  await say(page, "the sun");
  check("a refusal is shown", await texts(page, ".fault span"), ["The server is busy: 3 requests wait"]);
  await page.unroute("**/v1/chat/completions");
  await page.click(".fault button");
  await idle(page);
  check("and tried again", await texts(page, ".turn .body"), ["the sun", "It shines."]);
}

async function keys(page) {
  await page.waitForSelector("#key[open]");
  await page.fill("#key-text", "wrong");
  await page.press("#key-text", "Enter");
  await page.waitForFunction(() => document.querySelector("#key-note").textContent.startsWith("The server refused"));
  await page.fill("#key-text", "secret");
  await page.press("#key-text", "Enter");
  await ready(page);
  await say(page, "the sun");
  check("with a key", await texts(page, ".model .body"), ["It shines."]);
}

// On a phone nothing is wider than the screen.
async function phone(page) {
  await ready(page);
  await shot(page, "phone-empty");
  await say(page, "blocks");
  await shot(page, "phone");
  check("the width", await page.evaluate(() => document.documentElement.scrollWidth), 360);
  const small = await page.evaluate(() => [...document.querySelectorAll("header button, #send, .actions button")]
    .filter(b => b.getBoundingClientRect().width < 24 || b.getBoundingClientRect().height < 24).length);
  check("buttons too small for a finger", small, 0);
}

async function main() {
  const browser = await chromium.launch({executablePath: program, args: ["--no-sandbox", "--disable-dev-shm-usage"]}).catch(e => {
    console.log("skipped: the browser does not start here: " + e.message.split("\n")[0]);
    process.exit(77);
  });
  const page = await open(browser, {viewport: {width: 1000, height: 800}, colorScheme: "light"}, address);
  for (const part of [chats, draws, settings, stops]) await part(page);
  await keys(await open(browser, {}, locked));
  await phone(await open(browser, {viewport: {width: 360, height: 740}, hasTouch: true, isMobile: true}, address));
  await browser.close();
  check("errors in the browser", errors, []);
  check("nobody else was asked", [...asked].sort(), [address, locked].map(a => new URL(a).origin).sort());
  finish("browser");
}
main().catch(e => { console.log("FAILED: " + e.stack); process.exit(1); });
