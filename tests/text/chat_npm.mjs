// Renders with @huggingface/jinja what chat_npm.py gives: node chat_npm.mjs FOLDER, with a template and a JSON object of variables,
// each ended by NUL, on standard input. The answers are "+" and the text, or "-" and the error, ended by NUL.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const { Template } = await import(pathToFileURL(process.argv[2] + "/node_modules/@huggingface/jinja/dist/index.js"));
process.env.TZ = "UTC";
globalThis.Date = class extends Date { // now is the beginning of 1970, as in the other programs
  constructor(...when) {
    super(...(when.length ? when : [0]));
  }
};
const parts = readFileSync(0, "utf8").split("\0");
let out = "";
for (let i = 0; i + 1 < parts.length; i += 2) {
  try {
    out += "+" + new Template(parts[i]).render(JSON.parse(parts[i + 1]));
  } catch (e) {
    out += "-" + e.message;
  }
  out += "\0";
}
process.stdout.write(out);
