// @ts-check
// The focus of what lies over the page: a sheet, a drawer or a popover.

const FOCUSABLE = 'button, a[href], input, select, textarea, summary, [tabindex="0"]';

/**
 * Keeps the focus in an element that lies over the page, and in what stays usable beside it, until the
 * returned function is called. That gives the focus back to where it was. Escape and a press outside
 * call `close`.
 * @param {HTMLElement} element
 * @param {() => void} close
 * @param {HTMLElement | undefined} [first] what gets the focus
 * @param {Element[]} [usable] beside the element
 */
export function holdFocus(element, close, first = firstFocusable(element), usable = []) {
  const before = document.activeElement;
  const others = elementsBeside(element).filter((other) => !usable.includes(other));
  const isInside = (/** @type {Node | null} */ node) =>
    [element, ...usable].some((part) => part.contains(node));
  for (const other of others) other.inert = true;
  const ending = new AbortController();
  document.addEventListener("keydown", (event) => closeByKey(event, close), ending);
  // At its end, because the press itself moves the focus.
  document.addEventListener(
    "click",
    (event) => {
      const target = /** @type {Node} */ (event.target);
      // An open list of choices can be gone already.
      if (target.isConnected && !isInside(target)) close();
    },
    ending,
  );
  first?.focus({ preventScroll: true });
  return () => {
    ending.abort();
    for (const other of others) other.inert = false;
    // A press outside has taken the focus from the element.
    const { activeElement } = document;
    const isHeld = activeElement === document.body || element.contains(activeElement);
    if (isHeld && before instanceof HTMLElement) before.focus({ preventScroll: true });
  };
}

/**
 * @param {KeyboardEvent} event
 * @param {() => void} close
 */
function closeByKey(event, close) {
  if (!isEscape(event)) return;
  event.preventDefault();
  close();
}

/** What closes itself by Escape: a popover of the browser, and an open list of choices of Gradio. */
const CLOSES_ITSELF = ":popover-open, [role=combobox][aria-expanded=true]";

/**
 * Returns whether an event is Escape for what lies over the page. What lies on top of that comes first.
 * @param {KeyboardEvent} event
 */
export function isEscape(event) {
  if (event.key !== "Escape" || event.defaultPrevented) return false;
  return document.querySelector(CLOSES_ITSELF) === null;
}

/**
 * Returns all elements of the page that neither contain the element nor lie inside it.
 * @param {Element} element
 */
function elementsBeside(element) {
  const found = [];
  for (let inner = element; inner.parentElement && inner !== document.body;) {
    for (const sibling of inner.parentElement.children) {
      if (sibling !== inner && sibling instanceof HTMLElement && !sibling.inert)
        found.push(sibling);
    }
    inner = inner.parentElement;
  }
  return found;
}

/** @param {Element} element */
function firstFocusable(element) {
  const candidates = /** @type {NodeListOf<HTMLElement>} */ (element.querySelectorAll(FOCUSABLE));
  return [...candidates].find((candidate) => candidate.checkVisibility());
}
