// @ts-check
// What the bar of a photo and the bar of the batch have in common.
import { comebackOf } from "./connection.js";
import { closeButton, solutionButton } from "./buttons.js";
import { html, icon } from "./dom.js";
import { saveFile } from "./files.js";
import { focusSoon } from "./notices.js";
import { applyValues, change, state } from "./store.js";
import { word } from "./words.js";

/**
 * Makes the browser download a file as soon as it is ready.
 * @param {Promise<{ url: string, name: string } | null>} file
 */
export async function save(file) {
  const found = await file;
  if (found) saveFile(found);
}

export function problem() {
  if (!state.problem) return null;
  const { text, solutions } = state.problem;
  return html`<div class="problem" data-key="problem">
    ${icon("alert")}
    <p id="problem" role="alert">${text}</p>
    ${solutions.map((solution, place) => solutionButton(solution.text, place))}
    ${closeButton("dismiss")}
  </div>`;
}

/** Carries out the solution whose button was pressed. @param {HTMLElement} button */
export function solveProblem({ dataset }) {
  const solution = state.problem?.solutions[Number(dataset.solution)];
  if (!solution) return;
  change({ problem: null });
  applyValues(solution.values);
  focusSoon(() => document.getElementById("enhance"));
}

/** @param {string} text */
export function announcement(text) {
  return html`<p class="visually-hidden" role="status" data-key="announcement">${text}</p>`;
}

/**
 * Returns the button that opens the panel where that is not always visible.
 * @param {string} image
 * @param {string} label
 */
export function settingsButton(image, label) {
  const { isPanelOpen } = state;
  return html`<button
    type="button"
    id="settings"
    class="button secondary"
    aria-label="${label}"
    aria-expanded="${String(isPanelOpen)}"
  >
    ${icon(isPanelOpen ? "down" : image)} <span>${label}</span>
  </button>`;
}

/**
 * Returns the button that starts a run.
 * @param {string} id of the button and of its action
 * @param {string} text
 * @param {{ isPossible: boolean, why: string }} when with the id of the text that says why not
 */
export function startButton(id, text, { isPossible, why }) {
  return html`<button
    type="button"
    id="${id}"
    class="button primary"
    data-act="${id}"
    aria-describedby="${state.isOffline ? "offline" : why}"
    ${!isPossible && html`disabled`}
  >
    ${text}
  </button>`;
}

/** @param {string} id of the button and of its action */
export function cancelButton(id) {
  return html`<button type="button" id="${id}" class="button secondary" data-act="${id}">
    ${word("cancel")}
  </button>`;
}

/** Returns how the run goes on after the server did not answer; null at other times. */
export function comebackText() {
  const comeback = comebackOf();
  if (!comeback) return null;
  return comeback === "restarted" ? word("server_restarted") : word("continues");
}

/** @param {string | null} percent */
export function offlineLine(percent) {
  return html`<p class="line" id="offline" role="status">
    <i class="ring"></i>
    <span>${word("server_away")}</span>
    <span class="full">${word("server_away_kept")}</span>
    <span class="caption end">${percent}</span>
  </p>`;
}
