// @ts-check
// The chip on the stage: what it shows, and whether that belongs to the settings.

import { draw, html } from "./dom.js";
import {
  currentPlan,
  isPlanned,
  previewKey,
  previewState,
  resultOf,
  runPreset,
  stageMode,
  workShare,
} from "./state.js";
import { formatDuration, nameOf, word } from "./words.js";

/** @typedef {import("./state.js").State} State */

/**
 * What decides the chip in addition to the state: `isMarked`, the preview covers only a part of what
 * is visible; `isTooLarge`, too much is visible for a preview; `isNarrow`, there is no room for long
 * texts.
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

/** Of an area that takes longer, the server previews the middle. */
const LONGEST_SECONDS = 8;

/** The chip shows the remaining seconds only after this time, because most previews need less. */
const PATIENT_SECONDS = 0.9;

/** What is made, and since when. */
const started = { key: "", time: 0 };

/**
 * Returns the seconds that have passed since the first call with this key.
 * @param {string} key of what is made
 */
function passedSeconds(key) {
  if (key !== started.key) Object.assign(started, { key, time: performance.now() });
  return (performance.now() - started.time) / 1000;
}

/**
 * Returns the expected seconds of the preview of the region, from those of a run of the whole photo.
 * @param {State} state
 */
export function previewSeconds(state) {
  const plan = currentPlan(state);
  if (!plan?.estimated_seconds || !state.region || !isPlanned(state)) return 0;
  const share = workShare(state.region, plan.photo);
  return Math.min(share * plan.estimated_seconds, LONGEST_SECONDS);
}

/**
 * @param {HTMLElement} element
 * @param {State} state
 * @param {Look} look
 */
export function drawChip(element, state, look) {
  const chip = chipOf(state, look);
  const passed = passedSeconds(chip.isTimed ? previewKey(state) : "");
  const seconds = Math.round(previewSeconds(state) - passed);
  const showsSeconds = chip.isTimed && passed > PATIENT_SECONDS && seconds > 0;
  const sign = chip.sign === "ring" ? "ring" : `dot ${chip.sign}`;
  element.dataset.state = chip.name;
  draw(
    element,
    html`${chip.sign !== "none" && html`<span class="${sign}"></span>`}<span
        >${chip.text}${
          showsSeconds && html`<span aria-hidden="true"> · ${formatDuration(seconds)}</span>`
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
  const preset = nameOf("preset", runPreset(state));
  if (state.isOffline) return { name: "live", sign: "ring", text: word("chip_offline") };
  return { name: "live", sign: "ring", text: word("enhancing_with", { preset }) };
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
  if (name === "outdated") {
    const text = look.isNarrow ? word("chip_outdated_short") : word("chip_outdated");
    return { name, sign: "outdated", text };
  }
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
  const running = look.isNarrow ? word("chip_running_short") : word("chip_running");
  const plain = name === "quick" ? word("chip_quick") : running;
  const text = look.isMarked ? markedText(look) : plain;
  return { name, sign: "ring", text, isTimed: true };
}

/** @param {Look} look */
function markedText(look) {
  return look.isNarrow ? word("chip_marked_short") : word("chip_marked");
}
