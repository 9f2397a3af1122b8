// @ts-check
// The panel of a small screen: a drawer, or on a phone a sheet, which lies over the stage. The focus
// stays in it and in the bar.
import { closeButton } from "./buttons.js";
import { draw, html, onPress } from "./dom.js";
import { holdFocus } from "./focus.js";
import { isFolded } from "./folds.js";
import { change, onChange, state } from "./store.js";
import { word } from "./words.js";

/** A sheet that is dragged down so far closes. */
const CLOSING_PX = 80;
/** On a larger screen, the panel is beside the stage. */
const large = matchMedia("(min-width: 1100px) and (min-height: 501px)");

/** On a phone on its side, the drawer lies over the bar too. */
const isOverBar = matchMedia("(max-height: 500px) and (min-width: 560px)");

/** Gives the focus back while the panel is open. @type {(() => void) | null} */
let release = null;

const panelElement = () => /** @type {HTMLElement} */ (document.getElementById("panel"));
const close = () => change({ isPanelOpen: false });

/** @param {HTMLElement} element */
export function mountGrip(element) {
  onPress(element, { close });
  element.addEventListener("pointerdown", drag);
  return onChange(() =>
    draw(
      element,
      html`<div class="grip"><i></i></div>
        <div class="drawer-head"><span class="label">${title()}</span> ${closeButton()}</div>`,
    ),
  );
}

/** Returns the name of the panel: that of the button in the bar that opens it. */
function title() {
  return isFolded(state) ? word("facts") : word("settings");
}

/**
 * Moves the sheet with the finger.
 * @param {PointerEvent} start
 */
function drag(start) {
  const grip = /** @type {Element} */ (start.target).closest(".grip");
  if (!grip) return;
  const panel = panelElement();
  const ending = new AbortController();
  const distance = (/** @type {PointerEvent} */ { clientY }) =>
    Math.max(0, clientY - start.clientY);
  const end = (/** @type {PointerEvent} */ last) => {
    ending.abort();
    panel.style.translate = "";
    panel.style.transition = "";
    if (last.type === "pointerup" && distance(last) > CLOSING_PX) close();
  };
  grip.setPointerCapture(start.pointerId);
  panel.style.transition = "none";
  const move = (/** @type {Event} */ event) => {
    panel.style.translate = `0 ${distance(/** @type {PointerEvent} */ (event))}px`;
  };
  grip.addEventListener("pointermove", move, ending);
  for (const type of ["pointerup", "pointercancel"]) {
    grip.addEventListener(type, (event) => end(/** @type {PointerEvent} */ (event)), ending);
  }
}

/** @param {boolean} isOpen */
function showPanel(isOpen) {
  const panel = panelElement();
  if (!panel || isOpen === (release !== null)) return;
  document.body.dataset.panel = isOpen ? "open" : "closed";
  if (isOpen) openPanel(panel);
  else closePanel(panel);
}

/** @param {HTMLElement} panel */
function openPanel(panel) {
  panel.setAttribute("role", "dialog");
  panel.setAttribute("aria-label", title());
  panel.tabIndex = -1;
  panel.scrollTop = 0;
  const bar = document.getElementById("bar");
  const usable = bar && !isOverBar.matches ? [bar] : [];
  release = holdFocus(panel, close, panel, usable);
}

/** @param {HTMLElement} panel */
function closePanel(panel) {
  panel.removeAttribute("role");
  panel.removeAttribute("aria-label");
  release?.();
  release = null;
}

document.addEventListener("click", ({ target }) => {
  const isSettings = target instanceof Element && target.closest("#settings");
  if (isSettings) change({ isPanelOpen: !state.isPanelOpen });
});
large.addEventListener("change", close);
// After a rotation, the panel lies over other parts.
isOverBar.addEventListener("change", close);
onChange(({ isPanelOpen }) => showPanel(isPanelOpen));
