// @ts-check
// The focus of what lies over the page: a sheet, a drawer or a popover.

const FOCUSABLE = 'button, a[href], input, select, textarea, summary, [tabindex="0"]';

/**
 * Keeps the focus in an element that lies over the page, until the returned function is called. That
 * gives the focus back to where it was. Escape and a press outside call `close`.
 * @param {HTMLElement} element
 * @param {() => void} close
 */
export function holdFocus(element, close) {
  const before = document.activeElement;
  const others = elementsBeside(element);
  for (const other of others) other.inert = true;
  const ending = new AbortController();
  document.addEventListener("keydown", (event) => closeByKey(event, close), ending);
  document.addEventListener(
    "pointerdown",
    (event) => {
      if (!element.contains(/** @type {Node} */ (event.target))) close();
    },
    ending,
  );
  firstFocusable(element)?.focus();
  return () => {
    ending.abort();
    for (const other of others) other.inert = false;
    if (before instanceof HTMLElement) before.focus();
  };
}

/**
 * @param {KeyboardEvent} event
 * @param {() => void} close
 */
function closeByKey(event, close) {
  // An open list of choices handles Escape itself.
  if (event.key !== "Escape" || event.defaultPrevented) return;
  event.preventDefault();
  close();
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
