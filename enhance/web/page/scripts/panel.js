// @ts-check
// The panel: which of its controls are shown, the state of the sections that open in place, and
// the settings of the next run.
import { afterDrawing, draw, html, onPress } from "./dom.js";
import { effectivePreset, presetInfo } from "./native.js";
import { currentPlan, isRunning, runPreset, settingsDiffer, valueOf } from "./state.js";
import { change, onChange, startNow } from "./store.js";
import { constants, nameOf, word } from "./words.js";

/** @typedef {import("./state.js").State} State */

/**
 * Returns the label of a slider or a switch.
 * @param {string} name
 */
function titleOf(name) {
  return name === "tuning" ? word("apply_tuning") : word(name);
}

/** @param {State} state */
function tuningSummary(state) {
  const isTuning = (/** @type {string} */ name) => name === "tuning" || name in constants.ranges;
  const names = Object.keys(state.changed).filter(isTuning);
  if (names.length === 1) return word("tuning_changed", { names: titleOf(names[0]) });
  if (names.length > 1) return word("tuning_count", { n: names.length });
  return state.preset === "auto" ? word("tuning_of_auto") : word("tuning_of_preset");
}

/**
 * Returns which controls are shown, by the names of their classes.
 * @param {State} state
 */
function shownControls(state) {
  const { kind, by, paper } = state.size;
  const format = constants.formats[state.encoding.format];
  const isCustom = kind === "custom";
  const isPrint = kind === "print";
  return {
    print: isPrint,
    "own-paper": isPrint && !(paper in constants.papers),
    custom: isCustom,
    scale: isCustom && by === "scale",
    "long-side": isCustom && by === "long_side",
    megapixels: isCustom && by === "megapixels",
    quality: format.quality,
    background: hasAlpha(state) && !format.alpha,
    denoise: Boolean(presetInfo(state, effectivePreset(state))?.denoises),
    changed: Object.keys(state.changed).length > 0,
  };
}

/** @param {State} state */
function hasAlpha(state) {
  if (state.tab === "single") return Boolean(currentPlan(state)?.photo.has_alpha);
  return state.batch.files.some(({ path }) => state.plans[path ?? ""]?.photo.has_alpha);
}

/**
 * Marks the panel with the controls that are shown.
 * @param {State} state
 */
function markPanel(state) {
  const panel = document.getElementById("panel");
  for (const [name, isShown] of Object.entries(shownControls(state))) {
    panel?.classList.toggle(`shows-${name}`, isShown);
  }
}

/**
 * Writes the state of a section that opens in place into its line.
 * @param {string} id
 * @param {string} summary
 */
function describeFold(id, summary) {
  const button = document.querySelector(`#${id} > .label-wrap`);
  if (button instanceof HTMLElement) button.dataset.state = summary;
}

onChange((state) => {
  markPanel(state);
  describeFold("tuning-fold", tuningSummary(state));
  describeFold("advanced-fold", `${word("tile")} ${valueOf(state, "tile") ?? ""}`);
});

/** @param {HTMLElement} element */
export function mountNextRun(element) {
  onPress(element, { start: startAgain });
  return onChange((state) => {
    const isNext = isRunning(state) && settingsDiffer(state);
    draw(element, html`${isNext && nextRun(state)}`);
  });
}

/** Starts a run with the settings of the controls. The button goes, so Cancel gets the focus. */
async function startAgain() {
  change({ isPanelOpen: false });
  startNow();
  await afterDrawing();
  document.getElementById("cancel")?.focus();
}

/**
 * Returns the sentence on the settings of the next run. A single run can be replaced at once.
 * @param {State} state
 */
function nextRun(state) {
  if (state.tab === "batch") return html`<p role="status">${word("next_batch")}</p>`;
  const preset = nameOf("preset", runPreset(state));
  return html`<p role="status">${word("next_run", { preset })}</p>
    <button type="button" class="button secondary" data-act="start">${word("start_new")}</button>`;
}
