/**
 * The models, and what was asked of each.
 * @module
 */

import { byId, el, keyed, say, set } from "./dom.js";
import { OfModel } from "./picture.js";
import { spark, SECONDS } from "./spark.js";
import { backend, browser, count, rate, time } from "./words.js";

/** @typedef {import("./picture.js").Picture} Picture */
/** @typedef {import("./types.js").Model} Model */
/** @typedef {import("./types.js").Frame} Frame */

/** Places that are named. */
const MOST_PLACES = 4;

function make() {
  const name = el("span");
  const version = el("span", { class: "soft" });
  const why = el("span", { class: "failed" });
  const cells = { load: number(), p50: number(), p95: number(), answered: number(), failed: number(), places: el("td") };
  const rates = spark();
  const times = spark("warm");
  const root = el(
    "tr",
    {},
    el("th", { scope: "row" }, name, " ", version, " ", why),
    cells.load,
    el("td", {}, rates.root),
    cells.p50,
    cells.p95,
    el("td", {}, times.root),
    cells.answered,
    cells.failed,
    cells.places,
  );
  return { root, name, version, why, rates, times, ...cells };
}

const number = () => el("td", { class: "number" });

/** Where a model is loaded. @param {Frame} frame @param {string} model */
function places(frame, model) {
  const flow = frame.shards.find((one) => one.model === model);
  if (flow) return `${flow.stages.length} shards, ${rate(flow.per_second)} steps/s`;
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const worker of frame.workers) {
    const its = worker.sessions.filter((session) => session.model === model && session.phase === "ready");
    for (const one of new Set(its.map((session) => session.backend))) {
      const name = `${browser(worker.browser)}/${backend(one)}`;
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
  }
  const all = [...counts].map(([name, count]) => (count > 1 ? `${count} × ${name}` : name));
  if (all.length === 0) return "nowhere yet";
  const more = all.length - MOST_PLACES;
  return more > 0 ? `${all.slice(0, MOST_PLACES).join(", ")} and ${more} more` : all.join(", ");
}

/** @returns {(picture: Picture) => void} */
export function models() {
  return (picture) => {
    const { frame } = picture;
    if (!frame) return;
    const key = (/** @type {Model} */ model) => `${model.model} ${model.version}`;
    keyed(byId("models"), frame.models, key, make, (view, model) => {
      const track = picture.models.get(key(model));
      say(view.name, model.model);
      say(view.version, model.version ? `v${model.version}` : "");
      say(view.why, model.unavailable ? `cannot be used: ${model.unavailable}` : "");
      say(view.load, rate(model.per_second));
      say(view.p50, time(model.p50_ms));
      say(view.p95, time(model.p95_ms));
      say(view.answered, count(model.answered));
      say(view.failed, count(model.failed));
      set(view.failed, { class: model.failed_per_second > 0 ? "number failed" : "number" });
      say(view.places, places(frame, model.model));
      view.rates.draw(track?.tail(OfModel.RATE, SECONDS) ?? []);
      view.times.draw(track?.tail(OfModel.P50, SECONDS) ?? []);
    });
    byId("models-empty").hidden = frame.models.length > 0;
    const more = frame.left_out.models > 0 ? `; ${frame.left_out.models} that are asked for least are not shown` : "";
    say(byId("models-note"), `${frame.models.length} served${more}`);
  };
}
