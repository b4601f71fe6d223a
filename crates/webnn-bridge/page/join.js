/**
 * The page by which somebody lends a browser to the pool: it asks for a code, says what it will do, and does nothing before
 * "Join" was pressed. Then it is a worker page like any other, with buttons to pause and to leave.
 * @module
 */

import { watchBattery } from './battery.js';
import { Page } from './worker-page.js';

/** Where the tab keeps what lets it come back after a reload. It is gone with the tab. */
const KEPT = 'webnn-pool.guest';

/**
 * What a guest will do, as the host says.
 * @typedef {object} Terms
 * @property {string} pool
 * @property {string} operator
 * @property {string[]} backends
 * @property {number} threads  0 where the page chooses
 * @property {number} memory_bytes
 * @property {'pause'|'work'|'ask'} hidden_tabs
 * @property {number} battery_floor
 * @property {{name: string, bytes: number}[]} models
 */

/** @typedef {{token: string, guest: string, terms: Terms, hiddenWork: boolean}} Kept */

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @returns {T}
 */
const at = (id) => /** @type {T} */ (document.getElementById(id));

/** @param {number} bytes */
function size(bytes) {
  if (bytes < 2 ** 20) return `${Math.max(1, Math.round(bytes / 1024))} KiB`;
  return bytes < 2 ** 30 ? `${Math.round(bytes / 2 ** 20)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

/** Shows one section and says so to whoever hears the page. @param {'ask'|'terms'|'work'|'over'} section @param {string} title */
function show(section, title) {
  for (const id of ['ask', 'terms', 'work', 'over']) at(id).hidden = id !== section;
  at('title').textContent = title;
  document.title = title;
  at('title').focus();
}

/** @param {string} text */
function refuse(text) {
  at('refusal').textContent = text;
  at('refusal').hidden = text === '';
}

/**
 * Asks the host. What it says where it refuses is thrown.
 * @param {string} path
 * @param {{code?: string, token?: string}} body
 */
async function ask(path, body) {
  let answer;
  try {
    answer = await fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  } catch {
    throw new Error('the pool does not answer: it may have stopped, or the network is down');
  }
  const text = await answer.text();
  if (answer.ok) return JSON.parse(text);
  let message = text;
  try {
    const told = JSON.parse(text);
    message = told.message;
    if (told.retry_after_s > 0) message += ` (about ${told.retry_after_s} s)`;
  } catch {
    // It said so in plain words.
  }
  throw new Error(message);
}

/** @param {HTMLElement} list @param {string[][]} rows */
function fill(list, rows) {
  list.replaceChildren(
    ...rows.map((cells) => {
      const item = document.createElement('li');
      if (cells.length === 1) item.textContent = cells[0];
      else for (const cell of cells) item.append(Object.assign(document.createElement('span'), { textContent: cell }));
      return item;
    }),
  );
}

/** @param {Terms} terms */
function describe(terms) {
  const operator = terms.operator || 'somebody who is not named here';
  at('who').textContent = `${terms.pool} is run by ${operator}.`;
  const threads = terms.threads === 0 ? 'as many threads as the browser gives, four at most' : `${terms.threads} thread${terms.threads === 1 ? '' : 's'} at most`;
  const percent = Math.round(terms.battery_floor * 100);
  const hidden = {
    pause: 'Pause while the tab is hidden: it takes no new work then.',
    work: 'Go on working while the tab is hidden, as far as the browser lets it.',
    ask: 'Pause while the tab is hidden, unless you choose otherwise below.',
  }[terms.hidden_tabs];
  fill(at('does'), [
    ['Download the models below and run them for requests of other people.'],
    [`Compute with ${terms.backends.join(', ')}${terms.backends.length === 1 ? '' : ', whichever of them work here'}: ${threads} and up to ${size(terms.memory_bytes)} of memory for models.`],
    ['See the inputs of the requests that it computes. They come from the pool, not from this machine.'],
    [hidden],
    [`Pause on battery at ${percent} % or less, where the browser tells the charge.`],
  ]);
  fill(at('models'), terms.models.map(({ name, bytes }) => [name, size(bytes)]));
  if (terms.models.length === 0) fill(at('models'), [['None at present. The pool may offer some later; this tab is told of no others than the operator chose.']]);
  at('hidden-choice').hidden = terms.hidden_tabs !== 'ask';
}

/** A tab that works for the pool. */
class Work {
  #paused = false;
  #leaving = false;
  /** @type {import('./battery.js').Battery} */
  #battery = null;
  #page;

  /** @param {Kept} kept */
  constructor(kept) {
    this.kept = kept;
    this.#page = new Page(kept.token, {
      state: () => {},
      verdict,
      token: (token) => this.#keep(token),
      wish: () => this.#wish(),
      standing: (standing) => this.#standing(standing),
      broke: () => void this.#broke(),
      ended: (end) => this.#ended(end),
    });
    at('name').textContent = kept.guest;
    document.addEventListener('visibilitychange', () => this.#say());
    void watchBattery((battery) => {
      this.#battery = battery;
      at('battery').textContent = battery === null ? 'This browser does not tell the charge of the battery, so the tab does not pause for it.' : '';
      this.#say();
    });
  }

  start() {
    show('work', `Working for ${this.kept.terms.pool}`);
    at('state').textContent = 'Connecting';
    this.#page.connect();
  }

  /** @param {string} token */
  #keep(token) {
    this.kept.token = token;
    sessionStorage.setItem(KEPT, JSON.stringify(this.kept));
  }

  #lowBattery() {
    return this.#battery !== null && !this.#battery.charging && this.#battery.level <= this.kept.terms.battery_floor;
  }

  #hidden() {
    const { hidden_tabs: policy } = this.kept.terms;
    const works = policy === 'work' || (policy === 'ask' && this.kept.hiddenWork);
    return document.visibilityState === 'hidden' && !works;
  }

  /** What to ask of the host, by what is so now. */
  #wish() {
    if (this.#leaving) return { type: 'leave' };
    if (this.#paused) return { type: 'pause', cause: 'user' };
    if (this.#lowBattery()) return { type: 'pause', cause: 'battery' };
    if (this.#hidden()) return { type: 'pause', cause: 'hidden' };
    return { type: 'work' };
  }

  #say() {
    const wish = this.#wish();
    this.#page.say(wish);
    const why = { user: 'Paused by you: no new work comes, and the models stay loaded.', battery: 'Paused: the battery is low.', hidden: 'Paused while the tab is hidden.' };
    at('why').textContent = wish.type === 'pause' ? why[/** @type {'user'} */ (wish.cause)] : '';
  }

  togglePause() {
    this.#paused = !this.#paused;
    at('pause').textContent = this.#paused ? 'Go on' : 'Pause';
    at('pause').setAttribute('aria-pressed', String(this.#paused));
    this.#say();
  }

  leave() {
    this.#leaving = true;
    at('state').textContent = 'Leaving: finishing what was begun';
    for (const id of ['pause', 'leave']) at(id).setAttribute('disabled', '');
    this.#say();
  }

  again() {
    show('work', `Working for ${this.kept.terms.pool}`);
    this.#page.connect();
  }

  /** @param {import('./worker-page.js').Standing} standing */
  #standing({ state, answers, confirmed, on_probation: probation }) {
    at('state').textContent = { waiting: 'Being checked', working: 'Working', paused: 'Paused', leaving: 'Leaving: finishing what was begun' }[state];
    at('answers').textContent = String(answers);
    at('confirmed').textContent = String(confirmed);
    at('probation').textContent = probation ? 'Every answer of this tab is compared with the pool’s own browsers for now.' : 'Answers of this tab are compared with the pool’s own browsers now and then.';
  }

  /** Browsers do not tell why a connection was refused, so the host is asked. */
  async #broke() {
    at('state').textContent = 'Connection lost, trying again';
    try {
      const { good, why } = await ask('/join/why', { token: this.kept.token });
      if (!good) this.#page.stop(why);
    } catch {
      // The host is away; the connection is tried again anyway.
    }
  }

  /** @param {{code: number, reason: string}} end */
  #ended({ code, reason }) {
    const left = code === 4000 && this.#leaving;
    const away = code === 1006 || code === 1012;
    const another = code === 4409;
    if (!away && !another) sessionStorage.removeItem(KEPT);
    const text = left
      ? 'You have left. Everything that was begun is done. Thank you.'
      : away
        ? 'The connection to the pool is lost. What this tab had begun is done elsewhere.'
        : another
          ? 'Another tab works as this guest. Close that one, or use a code of its own for this one.'
          : `The pool has ended this: ${reason || `code ${code}`}.`;
    at('over-text').textContent = text;
    at('again').hidden = !away && !another;
    show('over', left ? 'You have left' : 'Not working');
  }
}

/**
 * @param {string} backend
 * @param {import('./protocol.js').Verdict} found
 */
function verdict(backend, found) {
  const id = `engine-${backend}`;
  const item = document.getElementById(id) ?? document.createElement('li');
  item.id = id;
  const name = Object.assign(document.createElement('span'), { textContent: backend });
  const words = { admitted: 'works', degraded: 'works', rejected: 'not here' }[found.verdict];
  const text = Object.assign(document.createElement('span'), { textContent: found.reason ? `${words}: ${found.reason}` : words });
  item.replaceChildren(name, text);
  at('engines').append(item);
}

/** @type {Work|null} */
let work = null;
/** @type {{code: string, terms: Terms}|null} */
let offer = null;

/** @param {string} code */
async function look(code) {
  refuse('');
  if (code.trim() === '') {
    refuse('Type the code that you were given: eight letters and digits.');
    at('code').focus();
    return;
  }
  try {
    offer = { code, terms: await ask('/join/terms', { code }) };
    describe(offer.terms);
    show('terms', `Join ${offer.terms.pool}?`);
  } catch (error) {
    show('ask', 'Lend this browser');
    refuse(`Refused: ${/** @type {Error} */ (error).message}.`);
    at('code').focus();
  }
}

async function join() {
  if (!offer) return;
  at('join').setAttribute('disabled', '');
  try {
    const { token, guest } = await ask('/join/enter', { code: offer.code });
    const hiddenWork = /** @type {HTMLInputElement} */ (at('hidden-work')).checked;
    /** @type {Kept} */
    const kept = { token, guest, terms: offer.terms, hiddenWork };
    sessionStorage.setItem(KEPT, JSON.stringify(kept));
    refuse('');
    work = new Work(kept);
    work.start();
  } catch (error) {
    show('ask', 'Lend this browser');
    refuse(`Refused: ${/** @type {Error} */ (error).message}.`);
  }
  at('join').removeAttribute('disabled');
}

/** Starts over, without what the tab had. */
function startOver() {
  sessionStorage.removeItem(KEPT);
  location.reload();
}

/** A tab that was loaded anew goes on as the guest that it was. Answers whether it does. */
async function goOn() {
  const text = sessionStorage.getItem(KEPT);
  if (text === null) return false;
  /** @type {Kept} */
  const kept = JSON.parse(text);
  try {
    const { good, why } = await ask('/join/why', { token: kept.token });
    if (!good) {
      sessionStorage.removeItem(KEPT);
      refuse(`This tab cannot go on as ${kept.guest}: ${why}.`);
      return false;
    }
  } catch {
    // Connecting says the same in a moment, and offers to try again.
  }
  work = new Work(kept);
  work.start();
  return true;
}

at('code-form').addEventListener('submit', (event) => {
  event.preventDefault();
  void look(/** @type {HTMLInputElement} */ (at('code')).value);
});
at('join').addEventListener('click', () => void join());
at('decline').addEventListener('click', () => show('ask', 'Lend this browser'));
at('pause').addEventListener('click', () => work?.togglePause());
at('leave').addEventListener('click', () => work?.leave());
at('again').addEventListener('click', () => work?.again());
at('other').addEventListener('click', startOver);

/** The code of the address, which is of no use in the history of the browser. @returns {string|null} */
function takeCode() {
  const found = new URLSearchParams(location.hash.slice(1)).get('code');
  history.replaceState(null, '', location.pathname);
  return found;
}

// Where the page is open already, another address of it changes nothing but the fragment.
globalThis.addEventListener('hashchange', () => {
  const another = takeCode();
  if (another !== null && at('work').hidden) void look(another);
});

const code = takeCode();
if (!(await goOn())) {
  if (code === null) show('ask', 'Lend this browser');
  else await look(code);
}
