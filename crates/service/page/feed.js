/**
 * Reads the feed: server-sent events over `fetch`, because an `EventSource` can send no token.
 * @module
 */

/** Characters of one event at most; a server of ours sends far less. */
const MOST = 8 << 20;
/** After so much silence a connection counts as lost; the server says something every five seconds at the least. */
const SILENCE_MS = 12_000;
/** Waits between attempts, after the first one that the server asked for. */
const BACKOFF_MS = [1_000, 2_000, 4_000, 8_000, 15_000];

/**
 * @typedef {object} ServerEvent
 * @property {string} event
 * @property {string} data
 */

/** Takes a stream of text apart, as the HTML standard says. */
export class Parser {
  #buffer = "";
  #event = "";
  /** @type {string[]} */
  #data = [];
  #held = 0;
  id = "";
  /** How long to wait before coming again, in milliseconds; 0 where the server did not say. */
  retry = 0;

  /**
   * @param {string} text
   * @returns {ServerEvent[]} the events that are complete now
   */
  push(text) {
    /** @type {ServerEvent[]} */
    const events = [];
    this.#buffer += text;
    for (;;) {
      const at = this.#buffer.search(/[\r\n]/);
      // A carriage return at the end may have its line feed in the next piece.
      if (at < 0 || (this.#buffer[at] === "\r" && at + 1 === this.#buffer.length)) break;
      const line = this.#buffer.slice(0, at);
      const two = this.#buffer[at] === "\r" && this.#buffer[at + 1] === "\n";
      this.#buffer = this.#buffer.slice(at + (two ? 2 : 1));
      this.#line(line, events);
    }
    if (this.#buffer.length + this.#held > MOST) throw new Error("an event is longer than this page reads");
    return events;
  }

  /**
   * @param {string} line
   * @param {ServerEvent[]} events
   */
  #line(line, events) {
    if (line === "") {
      if (this.#data.length > 0) events.push({ event: this.#event || "message", data: this.#data.join("\n") });
      this.#event = "";
      this.#data = [];
      this.#held = 0;
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (field === "event") this.#event = value;
    else if (field === "data") {
      this.#data.push(value);
      this.#held += value.length;
    } else if (field === "id" && !value.includes("\0")) this.id = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
  }
}

/**
 * How the connection is.
 * @typedef {'connecting'|'open'|'lost'|'refused'|'unauthorized'} Link
 */

/**
 * @typedef {object} Listener
 * @property {(event: ServerEvent) => void} event something came
 * @property {(link: Link, why: string) => void} link the connection changed
 * @property {(wrong: boolean) => Promise<string>} token a token is needed; `wrong` where the one that there was did not do
 */

/**
 * @param {number} ms
 * @returns {Promise<void>}
 */
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Reads the feed for as long as the page is there.
 * @param {string} url
 * @param {string} token the token to begin with; empty for none
 * @param {Listener} on
 * @returns {Promise<never>}
 */
export async function follow(url, token, on) {
  let id = "";
  let failures = 0;
  for (;;) {
    on.link("connecting", "");
    const parser = new Parser();
    parser.id = id;
    const outcome = await read(url, token, parser, on, () => (failures = 0));
    // The next connection goes on behind what was seen.
    id = parser.id;
    if (outcome.unauthorized) {
      on.link("unauthorized", "");
      token = await on.token(token !== "");
      continue;
    }
    on.link(outcome.refused ? "refused" : "lost", outcome.why);
    const usual = BACKOFF_MS[Math.min(failures, BACKOFF_MS.length - 1)];
    failures += 1;
    // So that not everybody comes back at the same moment.
    await sleep(Math.max(outcome.after, usual) * (0.8 + 0.4 * Math.random()));
  }
}

/**
 * @typedef {object} Outcome
 * @property {string} why
 * @property {boolean} unauthorized
 * @property {boolean} refused
 * @property {number} after how long to wait at least, in milliseconds
 */

/**
 * @param {string} url
 * @param {string} token
 * @param {Parser} parser
 * @param {Listener} on
 * @param {() => void} opened
 * @returns {Promise<Outcome>}
 */
async function read(url, token, parser, on, opened) {
  const abort = new AbortController();
  let timer = setTimeout(() => abort.abort(), SILENCE_MS);
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => abort.abort(), SILENCE_MS);
  };
  /** @type {Outcome} */
  const outcome = { why: "", unauthorized: false, refused: false, after: 0 };
  try {
    /** @type {Record<string, string>} */
    const headers = { accept: "text/event-stream" };
    if (token) headers.authorization = `Bearer ${token}`;
    if (parser.id) headers["last-event-id"] = parser.id;
    const answer = await fetch(url, { headers, cache: "no-store", signal: abort.signal });
    if (!answer.ok || !answer.body) {
      outcome.unauthorized = answer.status === 401;
      outcome.refused = true;
      outcome.after = 1_000 * Math.min(Number(answer.headers.get("retry-after")) || 0, 60);
      outcome.why = await reason(answer);
      return outcome;
    }
    opened();
    on.link("open", "");
    const reader = answer.body.getReader();
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      alive();
      for (const event of parser.push(decoder.decode(value, { stream: true }))) {
        if (event.event === "bye" && event.data.includes("unauthorized")) outcome.unauthorized = true;
        on.event(event);
      }
    }
    outcome.after = parser.retry;
    outcome.why = "the server ended the stream";
  } catch (error) {
    outcome.why = abort.signal.aborted ? "the server was silent" : error instanceof Error ? error.message : String(error);
  } finally {
    clearTimeout(timer);
    abort.abort();
  }
  return outcome;
}

/**
 * @param {Response} answer
 * @returns {Promise<string>}
 */
async function reason(answer) {
  try {
    const told = await answer.json();
    return typeof told.error === "string" ? told.error : `status ${answer.status}`;
  } catch {
    return `status ${answer.status}`;
  }
}
