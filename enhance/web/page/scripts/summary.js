// @ts-check
// The summary of a result at the top of the panel.

import { draw, html, icon, onPress } from "./dom.js";
import { allFacts, fileText, pixelSize } from "./facts.js";
import { GRADES, gradeName, gradeOf } from "./fidelity.js";
import { wholeSeconds } from "./progress.js";
import { showPlace } from "./stage.js";
import { currentPlan, resultOf, savedFile, stageMode } from "./state.js";
import { onChange, state } from "./store.js";
import { nameOf, nameOfFormat, word } from "./words.js";

/** @typedef {import("./state.js").Result} Result */

/** @param {Element} element */
export function mountSummary(element) {
  onPress(element, {
    place: () => {
      const [x, y] = resultOf(state)?.info.fidelity_worst_place ?? [];
      showPlace(x, y);
    },
  });
  return onChange(() => {
    const isShown = state.tab === "single" && stageMode(state) === "result";
    const result = isShown ? resultOf(state) : null;
    draw(element, html`${result && summary(result)} ${currentPlan(state) && details()}`);
  });
}

/** Returns all facts, for phones, whose bar has no room for them. */
function details() {
  return html`<div class="details">
    <h2 class="label">${word("facts")}</h2>
    <dl>${allFacts(state)}</dl>
  </div>`;
}

/** @param {Result} result */
function summary(result) {
  const { info } = result;
  const { output, seconds, auto, preset } = info;
  const file = fileText(state, result);
  const byAuto = { file, preset: nameOf("preset", preset) };
  return html`<div class="summary">
    <section>
      <p class="done">
        ${icon("check")} <b>${word("done_in", { time: wholeSeconds(seconds.total) })}</b>
      </p>
      <p class="size">${pixelSize(output.width, output.height)}</p>
      <p class="caption">${auto ? word("done_by_auto", byAuto) : file}</p>
      ${savedFile(state, result) && notes(output.notes ?? [], state.encoding.format)}
    </section>
    ${fidelity(info)}
    <p class="caption">${word("result_stays")}</p>
  </div>`;
}

/**
 * Returns what the file does not contain.
 * @param {string[]} keys
 * @param {string} format
 */
function notes(keys, format) {
  const name = nameOfFormat(format);
  return keys.map(
    (key) => html`<p class="caption">${nameOf("note", key).replaceAll("{format}", name)}</p>`,
  );
}

/** @param {any} info */
function fidelity(info) {
  const grade = gradeOf(info);
  if (!grade) return null;
  const filled = GRADES.indexOf(grade) + 1;
  const bars = GRADES.map((_, place) => html`<i class="${place < filled && "filled"}"></i>`);
  return html`<section>
    <p class="grade"><b>${word("fidelity")}</b> <b>${gradeName(grade)}</b></p>
    <div class="meter" aria-hidden="true">${bars}</div>
    <p>${nameOf("fidelity_about", grade)}</p>
    ${info.fidelity_worst_place && place()}
  </section>`;
}

function place() {
  return html`<p class="place">
    <span class="caption">${word("worst_place")}</span>
    <button
      type="button"
      class="button quiet"
      data-act="place"
      aria-label="${word("show_worst_place")}"
    >
      ${word("show_place")}
    </button>
  </p>`;
}
