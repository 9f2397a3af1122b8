// @ts-check
// Notices under the controls that they are about: what is not possible, what would be better, and
// what the controls mean. A notice has a button for each solution.
import { solutionButton } from "./buttons.js";
import { afterDrawing, draw, html, icon, onPress } from "./dom.js";
import { centimetres } from "./facts.js";
import { focusControl } from "./native.js";
import {
  COMMON_SIZES,
  currentPlan,
  emptyControl,
  isPlanned,
  placeOf,
  previewState,
} from "./state.js";
import { applyValues, onChange, set, state } from "./store.js";
import { formatNumber, joinUnits, nameOf, word } from "./words.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./state.js").Advice} Advice */

/** The room between a notice that came into view and the end of the panel, in pixels. */
const ROOM_BELOW = 16;

/** @param {string} name the control of the output size that has no number */
function emptyNotice(name) {
  const labels = {
    scale: word("scale"),
    long_side: word("long_side"),
    megapixels: word("size_megapixels"),
    print_width: word("print_width"),
    print_height: word("print_height"),
    dpi: word("dpi"),
  };
  const usual = { text: word("use_instead", { name: nameOf("size", "4x") }), values: { scale: 4 } };
  const text = word("size_empty", { name: labels[name] });
  return { advice: { text, solutions: [usual] }, isProblem: true };
}

/**
 * Returns the notices of a place: what is not possible, or else what would be better.
 * @param {State} state
 * @param {string} place
 */
function noticesOf(state, place) {
  const empty = emptyControl(state);
  if (empty !== null) return place === "size" ? [emptyNotice(empty)] : [];
  const plan = currentPlan(state);
  if (!plan || !isPlanned(state)) return [];
  const isProblem = plan.problem !== null;
  const found = plan.problem ? [plan.problem] : [...(plan.tips ?? []), ...previewTips(state)];
  return found
    .filter((advice) => placeOf(advice) === place)
    .map((advice) => ({ advice, isProblem }));
}

/** @param {State} state */
function previewTips(state) {
  const isApproximate = previewState(state) === "matches" && state.preview?.isApproximate;
  return isApproximate ? [{ text: word("preview_approximate"), solutions: [] }] : [];
}

/**
 * Returns the HTML of a notice. Only the text is announced, not the buttons.
 * @param {{ advice: Advice, isProblem: boolean }} notice
 * @param {string} place
 * @param {number} number
 */
function noticeHtml({ advice, isProblem }, place, number) {
  const kind = isProblem ? "danger" : "warning";
  const buttons = advice.solutions.map(({ text }, solution) =>
    solutionButton(text, solution, html`data-notice="${number}"`),
  );
  return html`<div class="notice ${kind}" data-key="${place}-${number}">
    ${icon(isProblem ? "alert" : "clock")}
    <div id="${place}-notice-${number}" role="${isProblem ? "alert" : "status"}">
      ${joinUnits(advice.text)}
    </div>
    ${buttons.length > 0 && html`<div class="actions">${buttons}</div>`}
  </div>`;
}

/**
 * Returns the notices of a place, and marks the field that they are about.
 * @param {State} state
 * @param {string} place
 */
export function noticesHtml(state, place) {
  const notices = noticesOf(state, place);
  markRefused(state, place, notices[0]?.isProblem ? `${place}-notice-0` : null);
  return notices.map((one, number) => noticeHtml(one, place, number));
}

/**
 * Carries out the solution of a notice whose button was pressed.
 * @param {HTMLElement} button
 * @param {string} place
 */
export function solve({ dataset }, place) {
  const notice = noticesOf(state, place)[Number(dataset.notice)];
  const solution = notice?.advice.solutions[Number(dataset.solution)];
  if (!solution) return;
  applyValues(solution.values);
  focusSoon(() => controlOf(state, place));
}

/**
 * Returns the field that a notice of a place is about.
 * @param {State} state
 * @param {string} place
 * @returns {HTMLElement | null}
 */
function controlOf(state, place) {
  const { kind, by } = state.size;
  const size = { custom: `#${by} input`, print: "#dpi input" }[kind] ?? "#size input:checked";
  const preset = "#presets input:checked";
  return document.querySelector({ size, preset, format: "#format input" }[place] ?? preset);
}

/**
 * Moves the focus after the next changes of the page: the solution shows other controls.
 * @param {() => HTMLElement | null} find
 */
export async function focusSoon(find) {
  await afterDrawing();
  const control = find();
  if (control) focusControl(control);
}

/**
 * Marks the field of a place as wrong, with the notice as its description.
 * @param {State} state
 * @param {string} place
 * @param {string | null} notice the id of the notice; null if nothing is wrong
 */
function markRefused(state, place, notice) {
  const field = notice && controlOf(state, place);
  for (const old of document.querySelectorAll(`#panel [aria-describedby^="${place}-notice-"]`)) {
    if (old === field) continue;
    old.removeAttribute("aria-invalid");
    old.removeAttribute("aria-describedby");
  }
  if (!field) return;
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-describedby", notice);
}

/** @param {State} state */
function sizeCaption(state) {
  if (state.size.kind === "web") {
    const pixels = formatNumber(COMMON_SIZES.web.long_side);
    return html`<p class="caption">${word("long_side_of", { pixels })}</p>`;
  }
  const plan = currentPlan(state);
  if (state.size.kind !== "print" || !plan || !isPlanned(state) || plan.problem) return null;
  const dpi = state.size.dpi ?? 300;
  const sides = {
    width: centimetres(plan.result.width, dpi),
    height: centimetres(plan.result.height, dpi),
  };
  return html`<p class="caption">${word("printed_at", sides)}</p>`;
}

/** @param {State} state */
function locationLine(state) {
  if (!currentPlan(state)?.photo.has_location) return null;
  const isKept = state.encoding.metadata === "keep";
  const button = html`<button type="button" class="button quiet" data-act="remove-location">
    ${nameOf("metadata", "no-location")}
  </button>`;
  return html`<div class="location">
    <span class="caption">${isKept ? word("location_notice") : word("location_will_go")}</span>
    ${isKept && button}
  </div>`;
}

/**
 * Draws notices. What is not possible comes into view, because the end of the panel can be hidden.
 * @param {HTMLElement} element
 * @param {import("./dom.js").Html} content
 */
function drawNotices(element, content) {
  const hadProblem = element.querySelector(".danger") !== null;
  draw(element, content);
  const problem = element.querySelector(".danger");
  const panel = element.closest("#panel");
  if (!problem || hadProblem || !panel) return;
  const hidden = problem.getBoundingClientRect().bottom - panel.getBoundingClientRect().bottom;
  if (hidden > 0) panel.scrollTop += hidden + ROOM_BELOW;
}

/** @param {HTMLElement} element */
export function mountSizeNotice(element) {
  onPress(element, { solve: (button) => solve(button, "size") });
  return onChange((state) =>
    drawNotices(element, html`${sizeCaption(state)}${noticesHtml(state, "size")}`),
  );
}

/** @param {HTMLElement} element */
export function mountFormatNotice(element) {
  onPress(element, {
    solve: (button) => solve(button, "format"),
    "remove-location": () => {
      set("metadata", "no-location");
      focusSoon(() => document.querySelector("#metadata input"));
    },
  });
  return onChange((state) =>
    drawNotices(element, html`${locationLine(state)}${noticesHtml(state, "format")}`),
  );
}
