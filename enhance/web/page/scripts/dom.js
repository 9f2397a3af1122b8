// @ts-check
// HTML from the state: `html` escapes what it inserts, and `draw` changes only what differs.

/** A piece of HTML, whose inserted texts are escaped already. */
export class Html {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }
}

/** Marks that reverse the letters after them, which can hide the ending of a file name. */
const DIRECTION_MARKS = /[\u202a-\u202e\u2066-\u2069]/g;

const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/** @param {unknown} value */
function insert(value) {
  if (value instanceof Html) return value.text;
  if (Array.isArray(value)) return value.map(insert).join("");
  if (value === null || value === undefined || value === false) return "";
  const text = String(value).replace(DIRECTION_MARKS, "");
  return text.replace(/[&<>"']/g, (sign) => ESCAPES[sign]);
}

/**
 * Returns the HTML of a template. Values are escaped, lists are joined, and null, undefined and
 * false insert nothing.
 * @param {TemplateStringsArray} parts
 * @param {...unknown} values
 */
export function html(parts, ...values) {
  const texts = parts.map(
    (part, place) => part + (place < values.length ? insert(values[place]) : ""),
  );
  return new Html(texts.join(""));
}

/** @type {WeakMap<Element, string>} */
const drawn = new WeakMap();

/**
 * Shows HTML in an element. What has not changed stays, with its focus, its scroll position and its
 * loaded images. An element with an `id` or a `data-key` is found again when its position changes,
 * and the content of one with `data-own` belongs to another script.
 * @param {Element} element
 * @param {Html} content
 */
export function draw(element, content) {
  if (drawn.get(element) === content.text) return;
  drawn.set(element, content.text);
  const template = document.createElement("template");
  template.innerHTML = content.text;
  patchChildren(element, template.content);
}

/** Waits until the last changes of the state are drawn, also by Gradio. */
export async function afterDrawing() {
  for (let frame = 0; frame < 2; frame++) await new Promise((done) => requestAnimationFrame(done));
}

/**
 * Shows a long list, of which a change affects only a few rows: each row is drawn by itself. A shell
 * is the element of a row, with `data-key` and `data-own`, and without anything around it.
 * @param {Element} list
 * @param {{ shell: Html, content: Html }[]} rows
 */
export function drawRows(list, rows) {
  draw(list, html`${rows.map((row) => row.shell)}`);
  rows.forEach((row, place) => draw(list.children[place], row.content));
}

/** @param {Node} node */
function keyOf(node) {
  if (!(node instanceof Element)) return null;
  return node.id || node.getAttribute("data-key");
}

/**
 * @param {Node} old
 * @param {Node} wanted
 */
function isSame(old, wanted) {
  return old.nodeName === wanted.nodeName && keyOf(old) === keyOf(wanted);
}

/**
 * @param {Node} parent
 * @param {Node} wantedParent
 */
function patchChildren(parent, wantedParent) {
  const wantedNodes = [...wantedParent.childNodes];
  removeUnwanted(parent, new Set(wantedNodes.map(keyOf)));
  let here = parent.firstChild;
  for (const wanted of wantedNodes) {
    const known = findAfter(here, wanted);
    if (!known) {
      parent.insertBefore(wanted, here);
      continue;
    }
    here = removeWithoutKey(parent, here, known);
    if (known === here) here = here.nextSibling;
    else parent.insertBefore(known, here);
    patchNode(known, wanted);
  }
  while (here) here = remove(parent, here);
}

/**
 * Removes a node, and returns the next one.
 * @param {Node} parent
 * @param {ChildNode} node
 */
function remove(parent, node) {
  const next = node.nextSibling;
  parent.removeChild(node);
  return next;
}

/**
 * @param {Node} parent
 * @param {Set<string | null>} keys
 */
function removeUnwanted(parent, keys) {
  for (const node of [...parent.childNodes]) {
    if (keyOf(node) !== null && !keys.has(keyOf(node))) parent.removeChild(node);
  }
}

/**
 * Removes the nodes without a key from `here` to `end`, because an element that is moved in front of
 * them would lose the focus. Returns the node after them.
 * @param {Node} parent
 * @param {ChildNode | null} here
 * @param {Node} end
 */
function removeWithoutKey(parent, here, end) {
  while (here && here !== end && keyOf(here) === null) here = remove(parent, here);
  return here;
}

/**
 * Returns the node that becomes `wanted`: one with its key, or else the next one of its kind.
 * @param {Node | null} first
 * @param {Node} wanted
 */
function findAfter(first, wanted) {
  if (keyOf(wanted) === null) return first && isSame(first, wanted) ? first : null;
  for (let node = first; node; node = node.nextSibling) if (isSame(node, wanted)) return node;
  return null;
}

/**
 * @param {Node} node
 * @param {Node} wanted
 */
function patchNode(node, wanted) {
  if (!(node instanceof Element) || !(wanted instanceof Element)) {
    if (node.nodeValue !== wanted.nodeValue) node.nodeValue = wanted.nodeValue;
    return;
  }
  patchAttributes(node, wanted);
  if (!wanted.hasAttribute("data-own")) patchChildren(node, wanted);
}

/**
 * @param {Element} node
 * @param {Element} wanted
 */
function patchAttributes(node, wanted) {
  for (const { name } of [...node.attributes]) {
    if (!wanted.hasAttribute(name)) node.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (node.getAttribute(name) !== value) node.setAttribute(name, value);
  }
  if (node instanceof HTMLInputElement) node.checked = wanted.hasAttribute("checked");
}

/**
 * Calls the action that a pressed element inside `element` names by `data-act`, with that element.
 * @param {Element} element
 * @param {Record<string, (target: HTMLElement, event: Event) => void>} actions
 */
export function onPress(element, actions) {
  element.addEventListener("click", (event) => {
    const pressed = /** @type {Element} */ (event.target).closest("[data-act]");
    if (pressed instanceof HTMLElement) actions[pressed.dataset.act ?? ""]?.(pressed, event);
  });
}

const ICONS = {
  alert: "M12 8v4.5M12 16v.01M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17Z",
  clock: "M12 7.5V12l3 2M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17Z",
  down: "m6 9 6 6 6-6",
  link: "M10 14l4-4M11 7l2.5-2.5a4 4 0 0 1 6 6L17 13M13 17l-2.5 2.5a4 4 0 0 1-6-6L7 11",
  add: "M12 6v12M6 12h12",
  warning: "M12 4 3 19.5h18L12 4ZM12 10v4.5M12 17v.2",
  check: "m5 12.5 4.5 4.5L19 7.5",
  chevron: "m9 6 6 6-6 6",
  divider: "m9 7-5 5 5 5M15 7l5 5-5 5",
  full: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  in: "M12 6v12M6 12h12",
  out: "M6 12h12",
  close: "M6 6l12 12M18 6 6 18",
  download: "M12 4v12m0 0 5-5m-5 5-5-5M4 16v3a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1v-3",
  info: "M3.5 12a8.5 8.5 0 1 0 17 0 8.5 8.5 0 1 0-17 0M12 11.5v5M12 8v.2",
  photo:
    "M6 4.5h12a2.5 2.5 0 0 1 2.5 2.5v10a2.5 2.5 0 0 1-2.5 2.5H6A2.5 2.5 0 0 1 3.5 17V7A2.5 2.5 0 0 1 6 4.5ZM7.3 10a1.7 1.7 0 1 0 3.4 0 1.7 1.7 0 1 0-3.4 0M4 17l5-4.5 3.5 3 3-2.5 5 4",
  report:
    "M7 3.5h7l4 4V20a.8.8 0 0 1-.8.8H7a.8.8 0 0 1-.8-.8V4.3A.8.8 0 0 1 7 3.5ZM14 3.5V8h4M9 12.5h6M9 16h6",
  sliders:
    "M4 8h9.4M18.6 8H20M4 16h1.4M10.6 16H20M13.4 8a2.6 2.6 0 1 0 5.2 0 2.6 2.6 0 1 0-5.2 0M5.4 16a2.6 2.6 0 1 0 5.2 0 2.6 2.6 0 1 0-5.2 0",
  logout: "M10 4H5v16h5M9 12h11m0 0-4-4m4 4-4 4",
  moon: "M20 14.5A8 8 0 0 1 9.5 4 8 8 0 1 0 20 14.5Z",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  recent: "M4.5 8A8.3 8.3 0 1 1 3.7 12M4 4v4.5h4.5M12 8v4.5l3 1.8",
  remove: "M5 7h14M10 7V4.5h4V7M7 7l.8 12.5h8.4L17 7M10.3 10.5v5.5M13.7 10.5v5.5",
  replace: "M4 7h13m0 0-3.5-3.5M17 7l-3.5 3.5M20 17H7m0 0 3.5 3.5M7 17l3.5-3.5",
  sun:
    "M8 12a4 4 0 1 0 8 0 4 4 0 1 0-8 0M12 3v1.5M12 19.5V21M3 12h1.5M19.5 12H21M5.6 5.6l1 1" +
    "M17.4 17.4l1 1M18.4 5.6l-1 1M6.6 17.4l-1 1",
};

/**
 * Returns an icon of 20 px. Add its path to ICONS, in a box of 24 x 24.
 * @param {string} name
 */
export function icon(name) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
    <path d="${ICONS[name]}" />
  </svg>`;
}
