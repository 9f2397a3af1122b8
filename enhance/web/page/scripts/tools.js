// @ts-check
// The controls of the zoom, and the overview with the visible part.

import { draw, html, icon } from "./dom.js";
import { overviewOf } from "./tiles.js";
import { clamp, isWhole, visibleRectangle } from "./viewport.js";
import { word } from "./words.js";

/**
 * @typedef {import("./viewport.js").View} View
 * @typedef {import("./viewport.js").Stage} Stage
 */

const SMALLEST_PERCENT = 1;

/**
 * @param {HTMLElement} element
 * @param {View} view
 * @param {Stage} stage
 * @param {{ hasMenu: boolean, isOpen: boolean }} menu whether Fit and 1:1 are in a menu
 */
export function drawTools(element, view, stage, { hasMenu, isOpen }) {
  const percent = 100 * view.zoom;
  const digits = percent < SMALLEST_PERCENT ? percent.toPrecision(1) : String(Math.round(percent));
  const isFit = isWhole(view, stage) && view.zoom !== 1;
  const isFull = document.fullscreenElement !== null;
  const sizes = html`<span class="sizes">
    <button type="button" data-act="fit" aria-pressed="${isFit || view.isFitted}">
      ${word("zoom_fit")}
    </button>
    <button
      type="button"
      data-act="actual"
      aria-pressed="${view.zoom === 1 && !view.isFitted}"
      aria-label="${word("zoom_actual")}"
      title="${word("zoom_actual")}"
    >
      1:1
    </button>
  </span>`;
  const value = hasMenu
    ? html`<button type="button" class="value" data-act="menu" aria-expanded="${isOpen}">
        ${digits}%${icon("chevron")}
      </button>`
    : html`<output class="value">${digits}%</output>`;
  element.classList.toggle("with-menu", hasMenu);
  element.classList.toggle("open", hasMenu && isOpen);
  draw(
    element,
    html`${button("out", word("zoom_out"))}${value}${button("in", word("zoom_in"))}<s></s>${sizes}<s
      ></s>${document.fullscreenEnabled && button("full", word("fullscreen"), isFull)}`,
  );
}

/**
 * @param {string} name of its action and its icon
 * @param {string} label
 * @param {boolean} [isPressed]
 */
function button(name, label, isPressed) {
  const pressed = isPressed === undefined ? null : html` aria-pressed="${isPressed}"`;
  return html`<button type="button" data-act="${name}" aria-label="${label}" ${pressed}>
    ${icon(name)}
  </button>`;
}

/**
 * Shows which part of the photo is visible. At Fit there is no overview.
 * @param {HTMLElement} element
 * @param {import("./tiles.js").Source} photo
 * @param {View} view
 * @param {Stage} stage
 */
export function drawOverview(element, photo, view, stage) {
  element.hidden = isWhole(view, stage);
  if (element.hidden) return;
  const image = /** @type {HTMLImageElement} */ (element.querySelector("img"));
  const frame = /** @type {HTMLElement} */ (element.querySelector("i"));
  const { address } = overviewOf(photo);
  if (image.getAttribute("src") !== address) image.src = address;
  image.style.aspectRatio = `${photo.width} / ${photo.height}`;
  const [left, top, width, height] = visibleRectangle(view, stage);
  const share = (/** @type {number} */ part, /** @type {number} */ side) =>
    `${100 * clamp(part / side, 0, 1)}%`;
  frame.style.left = share(left, photo.width);
  frame.style.top = share(top, photo.height);
  frame.style.width = share(width, photo.width);
  frame.style.height = share(height, photo.height);
}
