// Asks a server for an inference from JavaScript: node ask.mjs [ADDRESS [MODEL REQUEST.json]]. In a page it is the same fetch,
// from a page of the server's own origin or through a proxy of it.
import { readFile } from "node:fs/promises";

const [
  address = "http://127.0.0.1:8000",
  model = "golden-f32",
  path = "fixtures/micro/golden-f32/cases/golden/request.json",
] = process.argv.slice(2);

const token = process.env.WEBNN_POOL_TOKEN;

/** One request; the server's own words where it refuses. */
async function ask(route, body) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const method = body === undefined ? "GET" : "POST";
  const answer = await fetch(address + route, { method, headers, body, signal: AbortSignal.timeout(60_000) });
  const json = await answer.json();
  if (!answer.ok) {
    const wait = answer.headers.get("Retry-After");
    throw new Error(`${answer.status}: ${json.error}${wait ? ` (again in ${wait} s)` : ""}`);
  }
  return json;
}

const described = await ask(`/v2/models/${model}`);
console.log("inputs:", described.inputs.map((one) => `${one.name} ${one.datatype} [${one.shape}]`).join(", "));

const answer = await ask(`/v2/models/${model}/infer`, await readFile(path));
const { browser, backend, in_page_ms } = answer.parameters;
console.log(`computed in ${browser} on ${backend} in ${in_page_ms.toFixed(1)} ms`);
for (const output of answer.outputs) {
  console.log(output.name, output.shape, output.data.slice(0, 4), "…");
}
