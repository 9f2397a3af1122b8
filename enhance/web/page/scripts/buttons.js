// @ts-check
// Buttons that several parts of the page have.
import { html, icon } from "./dom.js";
import { state } from "./store.js";
import { joinUnits, word } from "./words.js";

/**
 * Returns a button that is an icon.
 * @param {string} act
 * @param {string} image
 * @param {string} label
 * @param {import("./dom.js").Html | null} [attributes]
 */
export function iconButton(act, image, label, attributes = null) {
  return html`<button
    type="button"
    class="button plain square"
    data-act="${act}"
    aria-label="${label}"
    ${attributes}
  >
    ${icon(image)}
  </button>`;
}

/** @param {string} [act] */
export function closeButton(act = "close") {
  return iconButton(act, "close", word("close"));
}

/**
 * Returns a button that carries out a solution of a piece of advice.
 * @param {string} text
 * @param {number} place among the solutions
 * @param {import("./dom.js").Html | null} [attributes]
 */
export function solutionButton(text, place, attributes = null) {
  return html`<button
    type="button"
    class="button secondary"
    data-act="solve"
    data-solution="${place}"
    ${attributes}
  >
    ${joinUnits(text)}
  </button>`;
}

/**
 * Returns a button for a file, which shows a ring while the file is requested.
 * @param {string} id of the button and of its action
 * @param {{
 *   kind: "primary" | "secondary", text: string, slot: string, image?: string, isDisabled?: boolean,
 * }} look with the slot of the request
 */
export function fileButton(id, { kind, text, slot, image = "download", isDisabled = false }) {
  const isBusy = slot in state.requests;
  return html`<button
    type="button"
    id="${id}"
    class="button ${kind}"
    data-act="${id}"
    aria-busy="${isBusy}"
    ${isDisabled && html`disabled`}
  >
    ${isBusy ? html`<i class="ring"></i>` : icon(image)} <span>${text}</span>
  </button>`;
}
