// @ts-check
// The chip on the stage: what it shows, and whether that belongs to the settings.

import { draw, html } from "./dom.js";
import { photoOf, previewKey, previewState, resultOf, stageMode } from "./state.js";
import { formatDuration, nameOf, word } from "./words.js";

/** @typedef {import("./state.js").State} State */

/**
 * What the stage knows besides the state: `isMarked`, the preview covers a part of what is visible;
 * `isTooLarge`, too much is visible for a preview; `isNarrow`, long words have no room.
 * @typedef {{ isMarked: boolean, isTooLarge: boolean, isNarrow: boolean }} Look
 */

/**
 * - `name`: the state of the preview, or "live" or "result".
 * - `sign`: a ring while something is made, a dot for what is there.
 * @typedef {{
 *   name: string, sign: "ring" | "matches" | "outdated" | "failed" | "none", text: string,
 *   isTimed?: boolean,
 * }} Chip
 */

/** Shows the whole seconds that a preview has taken so far. */
class Clock {
  key = "";
  since = 0;

  /** @param {string} key of what is made */
  secondsOf(key) {
    if (key !== this.key) {
      this.key = key;
      this.since = performance.now();
    }
    return Math.floor((performance.now() - this.since) / 1000);
  }
}

const clock = new Clock();

/**
 * @param {HTMLElement} element
 * @param {State} state
 * @param {Look} look
 */
export function drawChip(element, state, look) {
  const chip = chipOf(state, look);
  const seconds = clock.secondsOf(chip.isTimed ? previewKey(state) : "");
  const sign = chip.sign === "ring" ? "ring" : `dot ${chip.sign}`;
  element.dataset.state = chip.name;
  draw(
    element,
    html`${chip.sign !== "none" && html`<span class="${sign}"></span>`}<span
        >${chip.text}${
          chip.isTimed &&
          seconds > 0 &&
          html`<span aria-hidden="true"> · ${formatDuration(seconds)}</span>`
        }</span
      >`,
  );
}

/**
 * Returns whether the chip shows seconds, so that it must be drawn again.
 * @param {State} state
 */
export function isTimed(state) {
  return stageMode(state) === "photo" && ["waiting", "quick"].includes(previewState(state));
}

/**
 * @param {State} state
 * @param {Look} look
 * @returns {Chip}
 */
export function chipOf(state, look) {
  const mode = stageMode(state);
  if (mode === "photo") return previewChip(state, look);
  if (mode === "result") return { name: "result", sign: "matches", text: word("chip_result") };
  const preset = runPreset(state);
  if (state.isOffline) return { name: "live", sign: "ring", text: word("chip_offline") };
  return { name: "live", sign: "ring", text: word("chip_enhancing", { preset }) };
}

/** @param {State} state */
function runPreset(state) {
  const run = state.run;
  const chosen = run?.settings.preset;
  const preset = chosen === "auto" ? run?.plan?.settings.preset : chosen;
  return nameOf("preset", preset ?? photoOf(state)?.settings.preset ?? "auto");
}

/**
 * @param {State} state
 * @param {Look} look
 * @returns {Chip}
 */
function previewChip(state, look) {
  const name = previewState(state);
  if (look.isTooLarge && resultOf(state)) {
    return { name: "outdated", sign: "outdated", text: word("chip_result_earlier") };
  }
  if (look.isTooLarge) return { name, sign: "none", text: word("zoom_for_preview") };
  if (name === "waiting" || name === "quick") return busyChip(state, look, name);
  if (name === "failed") {
    return { name, sign: "failed", text: state.previewProblem?.text ?? word("chip_failed") };
  }
  if (name === "outdated") return { name, sign: "outdated", text: word("chip_outdated") };
  if (name === "none") return { name, sign: "none", text: word("chip_none") };
  if (look.isMarked) return { name, sign: "matches", text: markedText(look) };
  const text = look.isNarrow ? word("chip_matches_short") : word("chip_matches");
  return { name, sign: "matches", text };
}

/**
 * @param {State} state
 * @param {Look} look
 * @param {"waiting" | "quick"} name
 * @returns {Chip}
 */
function busyChip(state, look, name) {
  if (state.isOffline) return { name, sign: "ring", text: word("chip_offline") };
  const plain = name === "quick" ? word("chip_quick") : word("chip_running");
  const text = look.isMarked ? markedText(look) : plain;
  return { name, sign: "ring", text, isTimed: true };
}

/** @param {Look} look */
function markedText(look) {
  return look.isNarrow ? word("chip_marked_short") : word("chip_marked");
}
