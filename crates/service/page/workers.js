/**
 * The workers, and those that were lost a moment ago.
 * @module
 */

import { byId, chip, chipIs, el, keyed, say, set } from "./dom.js";
import { OfWorker } from "./picture.js";
import { spark, SECONDS } from "./spark.js";
import { backend, browser, bytes, count, rate, words } from "./words.js";

/** @typedef {import("./picture.js").Picture} Picture */
/** @typedef {import("./picture.js").Lost} Lost */
/** @typedef {import("./types.js").Worker} Worker */
/** @typedef {import("./types.js").Session} Session */

/**
 * @typedef {object} Card
 * @property {string} key
 * @property {Worker|null} worker
 * @property {Lost|null} lost
 */

/** What a worker's state is called, and how it looks. @param {Worker} worker @returns {[string, string]} */
function state(worker) {
  if (worker.breaker === "open") return ["bad", "shut out"];
  if (worker.breaker === "half_open") return ["warn", "on trial"];
  if (worker.stance === "draining") return ["calm", "draining"];
  if (worker.stance === "warming") return ["calm", "warming up"];
  if (worker.pressure === "critical") return ["bad", "out of memory"];
  if (worker.pressure === "high") return ["warn", "memory is scarce"];
  return ["good", worker.running > 0 ? "computing" : "ready"];
}

/** @param {Worker["backends"][number]} one */
function device(one) {
  const on = one.software ? `${one.device}, software` : one.device;
  return one.threads > 1 ? `${backend(one.backend)} · ${on} · ${one.threads} threads` : `${backend(one.backend)} · ${on}`;
}

function figure(/** @type {string} */ name) {
  const value = el("dd");
  return { value, root: el("div", {}, el("dt", {}, name), value) };
}

/** @param {Card} card */
function make(card) {
  const title = el("span");
  const id = el("p", { class: "id" });
  const mark = chip("calm", "");
  const chips = el("div", { class: "chips" });
  const load = figure("Requests/s");
  const runs = figure("Running");
  const served = figure("Served");
  const memory = figure("Models");
  const budget = figure("Budget");
  const resident = figure("Processes");
  const fill = el("span");
  const bar = el("span", { class: "bar", "aria-hidden": "true" }, fill);
  const drawn = spark();
  const list = el("ul");
  const summary = el("summary");
  const details = el("details", {}, summary, list);
  const why = el("p", { class: "soft" });
  const figures = [load, runs, served, memory, budget, resident].map((one) => one.root);
  const live = el("div", { class: "body" }, el("dl", { class: "figures" }, ...figures), bar, drawn.root, details);
  const head = el("div", { class: "head" }, el("div", {}, el("h3", {}, title), id), mark);
  const root = el("li", { class: "worker", "data-worker": card.key }, head, chips, why, live);
  return { root, title, id, mark, chips, load, runs, served, memory, budget, resident, fill, bar, drawn, list, summary, why, live };
}

/**
 * @param {ReturnType<typeof make>} view
 * @param {Picture} picture
 * @param {Card} card
 */
function update(view, picture, { worker, lost }) {
  view.live.hidden = !worker;
  view.why.hidden = Boolean(worker);
  if (lost) {
    say(view.title, browser(lost.browser));
    say(view.id, `w${lost.worker} · ${lost.version}`);
    const going = picture.frame?.recoveries.find((one) => one.worker === lost.worker);
    chipIs(view.mark, "bad", "lost");
    set(view.root, { class: "worker bad", "data-state": "lost" });
    say(view.why, going ? `${words(lost.cause)}. It is being revived: ${words(going.rung ?? "diagnosis")}.` : `${words(lost.cause)}.`);
    view.chips.replaceChildren();
    return;
  }
  if (!worker) return;
  const [tone, text] = state(worker);
  say(view.title, browser(worker.browser));
  say(view.id, `w${worker.worker} · ${worker.version}`);
  chipIs(view.mark, tone, text);
  set(view.root, { class: `worker ${tone}`, "data-state": text });
  keyed(
    view.chips,
    worker.backends,
    (one) => one.backend,
    () => ({ root: el("span", { class: "chip plain long" }) }),
    (one, item) => {
      say(one.root, device(item));
      set(one.root, { title: item.adapter });
    },
  );
  say(view.load.value, rate(worker.per_second));
  say(view.runs.value, `${worker.running} of ${worker.slots}`);
  say(view.served.value, count(worker.served));
  say(view.memory.value, bytes(worker.memory_bytes));
  say(view.budget.value, bytes(worker.memory_budget_bytes));
  say(view.resident.value, bytes(worker.resident_bytes));
  const share = Math.min(1, worker.memory_bytes / Math.max(1, worker.memory_budget_bytes));
  view.fill.style.width = `${(share * 100).toFixed(1)}%`;
  set(view.bar, { class: share > 0.9 ? "bar warn" : "bar" });
  view.drawn.draw(picture.workers.get(String(worker.worker))?.tail(OfWorker.RATE, SECONDS) ?? []);
  const all = worker.sessions.length + worker.sessions_left_out;
  say(view.summary, all === 1 ? "1 session" : `${all} sessions`);
  keyed(view.list, worker.sessions.map((session, index) => ({ session, index })), ({ index }) => String(index), makeSession, updateSession);
}

function makeSession() {
  const name = el("span");
  const rest = el("span", { class: "soft" });
  return { root: el("li", {}, name, rest), name, rest };
}

/**
 * @param {ReturnType<typeof makeSession>} view
 * @param {{session: Session}} item
 */
function updateSession(view, { session }) {
  say(view.name, session.model);
  say(view.rest, `${backend(session.backend)} · ${words(session.phase)} · ${bytes(session.memory_bytes)}`);
}

/** @returns {(picture: Picture) => void} */
export function workers() {
  return (picture) => {
    const { frame } = picture;
    if (!frame) return;
    /** @type {Card[]} */
    const cards = frame.workers.map((worker) => ({ key: `w${worker.worker}`, worker, lost: null }));
    for (const lost of picture.lost) cards.push({ key: `w${lost.worker}`, worker: null, lost });
    keyed(byId("workers"), cards, (card) => card.key, make, (view, card) => update(view, picture, card));
    byId("workers-empty").hidden = cards.length > 0;
    byId("workers").hidden = cards.length === 0;
    const more = frame.left_out.workers > 0 ? `; ${frame.left_out.workers} more are not shown` : "";
    const engines = new Set(frame.workers.map((worker) => worker.browser)).size;
    say(byId("workers-note"), `${frame.workers.length} in ${engines} ${engines === 1 ? "engine" : "engines"}${more}`);
  };
}
