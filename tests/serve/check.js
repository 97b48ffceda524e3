// Checks of the programs for node.
"use strict";
let checks = 0, failures = 0;
function check(what, got, expected) {
  checks++;
  const a = JSON.stringify(got), b = JSON.stringify(expected);
  if (a === b) return;
  failures++;
  console.log("FAILED: " + what + ": got " + a + ", expected " + b);
}
function finish(name) {
  console.log("serve " + name + ": " + checks + " checks, " + failures + " failures");
  process.exit(failures ? 1 : 0);
}
module.exports = {check, ok: (what, condition) => check(what, Boolean(condition), true), finish};
