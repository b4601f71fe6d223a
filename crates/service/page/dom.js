/**
 * Elements. What comes from outside becomes text or an attribute, never markup.
 * @module
 */

/** @typedef {string|number|boolean|null|undefined} Value */

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, Value>} [attributes] `null`, `undefined` and `false` leave one out
 * @param {...(Node|string)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  set(element, attributes);
  element.append(...children);
  return element;
}

/**
 * The same for drawings. Their namespace is that of the drawing in the page's own markup.
 * @template {keyof SVGElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, Value>} [attributes]
 * @param {...(Node|string)} children
 * @returns {SVGElementTagNameMap[T]}
 */
export function svg(tag, attributes = {}, ...children) {
  const space = /** @type {'http://www.w3.org/2000/svg'} */ (byId("mark").namespaceURI);
  const element = document.createElementNS(space, tag);
  set(element, attributes);
  element.append(...children);
  return element;
}

/**
 * Sets attributes that have changed.
 * @param {Element} element
 * @param {Record<string, Value>} attributes
 */
export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) element.removeAttribute(name);
    else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
  }
}

/**
 * Sets a text that has changed.
 * @param {Element} element
 * @param {string|number} text
 */
export function say(element, text) {
  if (element.textContent !== String(text)) element.textContent = String(text);
}

/**
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no ${id}`);
  return found;
}

/**
 * Makes the children of an element those of a list, keeping the elements of items that stay, so that nothing loses its focus.
 * @template I, V
 * @param {Element} parent
 * @param {readonly I[]} items
 * @param {(item: I) => string} key
 * @param {(item: I) => V & {root: Element}} make
 * @param {(view: V, item: I) => void} update
 */
export function keyed(parent, items, key, make, update) {
  /** @type {Map<string, V & {root: Element}>} */
  const before = views.get(parent) ?? new Map();
  const now = new Map();
  /** @type {Element|null} */
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    // Two with one name would take each other's place.
    if (now.has(name)) continue;
    const view = before.get(name) ?? make(item);
    now.set(name, view);
    update(view, item);
    if (view.root === place) place = place.nextElementSibling;
    else parent.insertBefore(view.root, place);
  }
  for (const [name, view] of before) if (!now.has(name)) view.root.remove();
  views.set(parent, now);
}

/** @type {WeakMap<Element, Map<string, any>>} */
const views = new WeakMap();

/**
 * A word with a sign and a colour; the word alone is enough.
 * @param {string} tone `good`, `warn`, `bad`, `calm` or `plain`
 * @param {string} text
 * @returns {HTMLSpanElement}
 */
export function chip(tone, text) {
  const element = el("span");
  chipIs(element, tone, text);
  return element;
}

/** @type {Record<string, string>} */
const SIGNS = { good: "✓", warn: "▲", bad: "✕", calm: "◌", plain: "" };

/**
 * @param {Element} element
 * @param {string} tone
 * @param {string} text
 */
export function chipIs(element, tone, text) {
  set(element, { class: `chip ${tone}` });
  const sign = SIGNS[tone] ?? "";
  const whole = sign ? `${sign} ${text}` : text;
  if (element.textContent === whole) return;
  element.replaceChildren(...(sign ? [el("span", { "aria-hidden": "true" }, `${sign} `)] : []), text);
}
