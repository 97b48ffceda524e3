// Asks a server with npm's client. Arguments: the address of its /v1, and a key.
"use strict";
const OpenAI = require("openai");
const {makeParseableResponseFormat} = require("openai/lib/parser");
const {check, ok, finish} = require("./check.js");
const [, , baseURL, apiKey] = process.argv;
const client = new OpenAI({baseURL, apiKey, maxRetries: 0, timeout: 600000});
const model = "m", user = content => [{role: "user", content}];
const chat = body => client.chat.completions.create({model, ...body});

async function chats() {
  const a = await chat({messages: user("the sun")});
  check("a chat", [a.object, a.choices[0].message.content, a.choices[0].finish_reason], ["chat.completion", "It shines.", "stop"]);
  check("usage", a.usage.prompt_tokens + a.usage.completion_tokens, a.usage.total_tokens);
  const n = await chat({messages: user("pick"), n: 3, seed: 3, temperature: 1, max_completion_tokens: 5});
  check("choices", n.choices.map(c => c.index), [0, 1, 2]);
  const parts = await chat({messages: user([{type: "text", text: "the "}, {type: "text", text: "sun"}])});
  check("parts", parts.choices[0].message.content, "It shines.");
  const c = await client.completions.create({model, prompt: "count", stop: " four"});
  check("a completion", c.choices[0].text, "one two three");
  check("models", (await client.models.list()).data.map(m => m.id), ["m"]);
}

async function streams() {
  const deltas = [], usage = [];
  for await (const e of await chat({messages: user("split"), stream: true, stream_options: {include_usage: true}})) {
    if (e.choices.length) deltas.push(e.choices[0].delta.content);
    if (e.usage) usage.push(e.usage.completion_tokens);
  }
  check("a stream", deltas.filter(Boolean), ["gr", "\u00fc", "n"]);
  check("usage of a stream", usage, [5]);
  const runner = client.chat.completions.stream({model, messages: user("count")});
  let seen = "";
  runner.on("content", text => { seen += text; });
  check("what the client puts together", (await runner.finalChatCompletion()).choices[0].message.content, seen);
  check("all of it", seen, "one two three four five six seven eight nine ten");
  const stopped = await chat({messages: user("count"), stream: true, n: 100});
  for await (const e of stopped) if (e) break; // hangs up
  ok("a stream can be left", stopped.controller.signal.aborted);
}

async function tools() {
  const list = [{type: "function", function: {name: "weather", description: "x", parameters: {type: "object", properties: {city: {type: "string"}}}}}];
  const a = await chat({messages: user("weather"), tools: list}), call = a.choices[0].message.tool_calls[0];
  check("a call", [a.choices[0].finish_reason, call.function.name, JSON.parse(call.function.arguments)], ["tool_calls", "weather", {city: "Rome"}]);
  const again = [...user("weather"), a.choices[0].message, {role: "tool", tool_call_id: call.id, content: "sun"}];
  check("and its answer", (await chat({messages: again, tools: list})).choices[0].message.content, "It shines.");
  const asked = [];
  const run = client.chat.completions.runTools({model, messages: user("weather"), tools: [{type: "function", function: {
    name: "weather", description: "x", parse: JSON.parse, parameters: {type: "object", properties: {city: {type: "string"}}},
    function: x => { asked.push(x.city); return "the sun"; }}}]});
  check("a client that runs them", [await run.finalContent(), asked], ["It shines.", ["Rome"]]);
}

// Calls in streams: what comes piece by piece, and what the client puts together of it.
async function streamedTools() {
  const parameters = {type: "object", properties: {city: {enum: ["Rome", "Oslo"]}}, required: ["city"], additionalProperties: false};
  const tools = [{type: "function", function: {name: "weather", description: "x", strict: true, parameters}}];
  const streamed = async body => {
    const runner = client.chat.completions.stream({model, tools, ...body}), seen = [], done = [];
    runner.on("tool_calls.function.arguments.delta", e => { seen.push([e.index, e.name, e.arguments_delta]); });
    runner.on("tool_calls.function.arguments.done", e => { done.push([e.index, e.name, e.parsed_arguments]); });
    const a = await runner.finalChatCompletion();
    return {choice: a.choices[0], seen, done};
  };
  const {choice, seen, done} = await streamed({messages: user("weather")}), [call] = choice.message.tool_calls;
  check("a call in a stream", [choice.finish_reason, choice.message.content, call.function.name, call.function.parsed_arguments], ["tool_calls", null, "weather", {city: "Rome"}]);
  check("its pieces", seen.map(d => d[2]).join(""), call.function.arguments);
  ok("they have a place and a name", seen.length > 0 && seen.every(d => d[0] === 0 && d[1] === "weather"));
  check("that they are all", done, [[0, "weather", {city: "Rome"}]]);
  const raw = [];
  for await (const e of await chat({messages: user("weather"), tools, stream: true})) if (e.choices.length) raw.push(e.choices[0]);
  const deltas = raw.flatMap(c => c.delta.tool_calls ?? []);
  check("the first piece says what is called", [deltas[0].index, deltas[0].type, deltas[0].function.name, typeof deltas[0].id], [0, "function", "weather", "string"]);
  check("the others do not", deltas.slice(1).every(d => d.index === 0 && d.id === undefined && d.function.name === undefined), true);
  check("its end", raw.map(c => c.finish_reason).filter(Boolean), ["tool_calls"]);
  const must = await streamed({messages: user("other"), tool_choice: "required", seed: 3, temperature: 1}), [made] = must.choice.message.tool_calls;
  check("one that is required", [must.choice.finish_reason, made.function.name, typeof made.function.parsed_arguments.city], ["tool_calls", "weather", "string"]);
  check("its pieces", must.seen.map(d => d[2]).join(""), made.function.arguments);
  const text = await streamed({messages: user("sun")});
  check("an answer without one", [text.choice.message.content, text.choice.message.tool_calls, text.seen.length], ["It shines.", undefined, 0]);
}

async function structured() {
  const schema = {type: "object", properties: {a: {type: "integer"}}, required: ["a"], additionalProperties: false};
  const response_format = {type: "json_schema", json_schema: {name: "x", strict: true, schema}};
  const a = await client.chat.completions.parse({model, messages: user("json"), response_format});
  check("a structured output", a.choices[0].message.parsed, {a: 1});
  const parsed = makeParseableResponseFormat(response_format, JSON.parse); // as the client's helpers for schemas do
  const runner = client.chat.completions.stream({model, messages: user("json"), response_format: parsed}), parts = [];
  runner.on("content.delta", e => { parts.push(e.parsed); });
  let done = null;
  runner.on("content.done", e => { done = e.parsed; });
  check("in a stream", (await runner.finalChatCompletion()).choices[0].message.parsed, {a: 1});
  check("its end, and its last part", [done, parts[parts.length - 1]], [{a: 1}, {a: 1}]);
  ok("it came in parts", parts.length > 1);
  check("a JSON object", JSON.parse((await chat({messages: user("json"), response_format: {type: "json_object"}})).choices[0].message.content), {a: 1});
}

async function vectors() {
  const a = await client.embeddings.create({model, input: ["the sun", "other", "the sun"]}); // asks for base64
  const [x, y, z] = a.data.map(d => d.embedding);
  ok("vectors", x.length > 8 && Math.abs(x.reduce((s, v) => s + v * v, 0) - 1) < 1e-5);
  check("the same text, another", [x.every((v, i) => v === z[i]), x.every((v, i) => v === y[i])], [true, false]);
  const plain = (await client.embeddings.create({model, input: "the sun", encoding_format: "float"})).data[0].embedding;
  ok("as numbers", plain.every((v, i) => Math.abs(v - x[i]) < 1e-6));
}

async function responses() {
  const a = await client.responses.create({model, input: "the sun"});
  check("a response", [a.object, a.status, a.output_text], ["response", "completed", "It shines."]);
  check("its usage", a.usage.input_tokens + a.usage.output_tokens, a.usage.total_tokens);
  const runner = client.responses.stream({model, instructions: "x", input: [{role: "user", content: "count"}]});
  let seen = "";
  runner.on("response.output_text.delta", e => { seen += e.delta; });
  check("what the client puts together", (await runner.finalResponse()).output_text, seen);
  check("all of it", seen, "one two three four five six seven eight nine ten");
  const schema = {type: "object", properties: {a: {type: "integer"}}, required: ["a"], additionalProperties: false};
  const b = await client.responses.create({model, input: "json", text: {format: {type: "json_schema", name: "x", strict: true, schema}}});
  check("a structured output", JSON.parse(b.output_text), {a: 1});
  const tool = {type: "function", name: "weather", description: "x", strict: false, parameters: {type: "object", properties: {city: {type: "string"}}}};
  const c = await client.responses.create({model, input: "weather", tools: [tool]}), call = c.output.find(o => o.type === "function_call");
  check("a call", [call.name, JSON.parse(call.arguments)], ["weather", {city: "Rome"}]);
  const d = client.responses.stream({model, input: "weather", tools: [tool]}), pieces = [], ends = [];
  d.on("response.function_call_arguments.delta", e => { pieces.push(e.delta); });
  d.on("response.function_call_arguments.done", e => { ends.push(e.arguments); });
  const last = (await d.finalResponse()).output.find(o => o.type === "function_call");
  check("a call in a stream", [last.name, JSON.parse(last.arguments)], ["weather", {city: "Rome"}]);
  check("its pieces, and their end", [pieces.join(""), ends], [last.arguments, [last.arguments]]);
  const e = client.responses.stream({model, input: "json", text: {format: {type: "json_schema", name: "x", strict: true, schema}}});
  check("a structured output in a stream", JSON.parse((await e.finalResponse()).output_text), {a: 1});
}

async function refused(what, kind, status, code, param, promise) {
  try {
    await promise;
    check(what, "an answer", "an error");
  } catch (e) {
    check(what, [e instanceof kind, e.status, e.code, e.param], [true, status, code, param]);
  }
}

async function errors() {
  await refused("another model", OpenAI.NotFoundError, 404, "model_not_found", "model", chat({model: "gpt-4", messages: user("hi")}));
  await refused("a bad temperature", OpenAI.BadRequestError, 400, "invalid_value", "temperature", chat({messages: user("hi"), temperature: -1}));
  await refused("an unknown member", OpenAI.BadRequestError, 400, "unknown_parameter", "colour", chat({messages: user("hi"), colour: 1}));
  await refused("what is not supported", OpenAI.BadRequestError, 400, "unsupported_value", "modalities", chat({messages: user("hi"), modalities: ["audio"]}));
  await refused("a prompt that is too long", OpenAI.BadRequestError, 400, "context_length_exceeded", "messages", chat({messages: user("x".repeat(2000))}));
  await refused("an error before a stream", OpenAI.BadRequestError, 400, "invalid_value", "top_p", chat({messages: user("hi"), top_p: 2, stream: true}));
  const other = new OpenAI({baseURL, apiKey: "wrong", maxRetries: 0});
  await refused("another key", OpenAI.AuthenticationError, 401, "invalid_api_key", null, other.models.list());
}

async function main() {
  for (const part of [chats, streams, tools, streamedTools, structured, vectors, responses, errors]) await part();
  finish("openai client");
}
main().catch(e => { console.log("FAILED: " + e.stack); process.exit(1); });
