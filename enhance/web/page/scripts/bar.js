// @ts-check
// The bar: the facts of the photo, the progress of its run, and the next step.

import {
  announcement,
  cancelButton,
  comebackText,
  offlineLine,
  problem,
  save,
  settingsButton,
  solveProblem,
  startButton,
} from "./bar_parts.js";
import { BATCH_ACTIONS, batchBar } from "./batch_bar.js";
import { fileButton } from "./buttons.js";
import { draw, html, icon, onPress } from "./dom.js";
import { factsLine, fileText, pixelSize } from "./facts.js";
import { gradeName, gradeOf } from "./fidelity.js";
import { announcedPercent, percentOf, progressBar, wholeSeconds } from "./progress.js";
import {
  canEnhance,
  currentPlan,
  isResultCurrent,
  emptyControl,
  isRunning,
  placeOf,
  resultOf,
  runPreset,
  savedFile,
} from "./state.js";
import {
  cancel,
  change,
  onChange,
  prepareDownload,
  report,
  run,
  startOver,
  state,
} from "./store.js";
import { formatDuration, nameOf, nameOfFormat, word } from "./words.js";

/** @typedef {import("./state.js").Plan} Plan */
/** @typedef {import("./state.js").Result} Result */
/** @typedef {import("./state.js").Run} Run */

/** @param {Element} element */
export function mountBar(element) {
  onPress(element, {
    enhance: run,
    cancel,
    again: startOver,
    report: () => save(report()),
    download: () => save(prepareDownload()),
    solve: solveProblem,
    dismiss: () => change({ problem: null }),
    ...BATCH_ACTIONS,
  });
  return onChange(() => draw(element, state.tab === "batch" ? batchBar() : photoBar()));
}

function photoBar() {
  const plan = currentPlan(state);
  if (!plan) return html``;
  if (state.run && isRunning(state)) return runningBar(state.run);
  const result = resultOf(state);
  return result && isResultCurrent(state) ? doneBar(result) : plannedBar(plan, result);
}

/**
 * Returns the bar of a photo that can be enhanced.
 * @param {Plan} plan
 * @param {Result | null} result that of other settings, if there is one
 */
function plannedBar(plan, result) {
  const isPossible = canEnhance(state);
  return html`<div class="bar planned">
    ${problem()} ${announcement("")} ${settingsButton("sliders", word("settings"))}
    ${state.isOffline ? offlineLine(null) : factsLine(state)}
    ${result && html`<div class="earlier">${downloadButton(result, "secondary")}</div>`}
    <div class="step">${planned(plan, isPossible)} ${enhanceButton(isPossible)}</div>
  </div>`;
}

/**
 * Returns the size of the result with its time, or why the photo cannot be enhanced.
 * @param {Plan} plan
 * @param {boolean} isPossible
 */
function planned(plan, isPossible) {
  const reason = state.isOffline ? word("no_answer") : whyNot(plan);
  const time = plan.time ? planText(plan) : word("measuring");
  return html`<div class="plan">
    <b>${pixelSize(plan.result.width, plan.result.height)}</b>
    <span class="caption" id="why">${isPossible ? time : reason}</span>
    <span class="caption brief">${isPossible ? briefPlan(plan) : reason}</span>
  </div>`;
}

/**
 * Returns what is not possible, in a few words. The notice of its control says why.
 * @param {Plan} plan
 */
function whyNot({ problem }) {
  if (emptyControl(state) !== null || !problem) return word("why_size");
  return nameOf("why", placeOf(problem));
}

/** @param {Plan} plan */
function planText({ time }) {
  return word("plan_text", { time, format: nameOfFormat(state.encoding.format) });
}

/** @param {Plan} plan */
function briefPlan({ settings, estimated_seconds: seconds }) {
  const preset = nameOf("preset", settings.preset);
  if (seconds === null) return preset;
  return word("auto_summary", { preset, time: formatDuration(seconds) });
}

/** @param {boolean} isPossible */
const enhanceButton = (isPossible) =>
  startButton("enhance", word("enhance"), { isPossible, why: "why" });

/**
 * Returns the bar during a run. Its words are those of the run, not those of the controls.
 * @param {Run} run
 */
function runningBar(run) {
  const { isOffline, progress } = state;
  const share = progress?.total ? progress.done / progress.total : 0;
  const size = run.plan && pixelSize(run.plan.result.width, run.plan.result.height);
  const preset = nameOf("preset", runPreset(state));
  const about = word("run_text", { preset, format: nameOfFormat(run.encoding.format) });
  return html`<div class="bar running ${isOffline && "offline"}">
    ${problem()} ${announcement(announcedProgress(share))}
    ${settingsButton("sliders", word("settings"))}
    <div class="run" id="progress">
      ${progressLine(share)} ${progressBar(share, word("enhancing"))}
    </div>
    <div class="step">
      <div class="plan">
        <b>${size}</b>
        <span class="caption">${isOffline ? word("no_answer") : about}</span>
      </div>
      ${isOffline ? enhanceButton(false) : cancelButton("cancel")}
    </div>
  </div>`;
}

/** @param {number} share */
function announcedProgress(share) {
  const percent = announcedPercent(share);
  return `${runSentence()} ${word("share_done", { percent })}`;
}

const runSentence = () => word("enhancing_with", { preset: nameOf("preset", runPreset(state)) });

/** @param {number} share */
function progressLine(share) {
  const percent = word("share_done", { percent: percentOf(share) });
  if (state.isOffline) return offlineLine(percent);
  const comeback = comebackText();
  if (comeback) return comebackLine(comeback, percent);
  return html`<p class="line">
    <b>${percent}</b>
    <span class="full">${stepText(runSentence())}</span>
    <span class="brief">${stepText(null)}</span>
    <span class="caption end">${word("run_stays")}</span>
  </p>`;
}

/**
 * Returns what the run does now, after the sentence of the run if it is given.
 * @param {string | null} sentence
 */
function stepText(sentence) {
  const { progress } = state;
  if (progress?.ahead) return word("waiting_place", { ahead: progress.ahead });
  if (!progress?.total) return sentence ? word("starting") : word("starting_short");
  if (progress.done >= progress.total) return word("writing");
  if (progress.seconds_left === null) return sentence ?? word("enhancing");
  const time = wholeSeconds(progress.seconds_left);
  return sentence ? word("run_left", { run: sentence, time }) : word("left", { time });
}

/**
 * @param {string} comeback
 * @param {string} percent
 */
function comebackLine(comeback, percent) {
  const left = state.progress?.seconds_left;
  return html`<p class="line comeback" role="status">
    ${icon("check")} <b>${comeback}</b>
    ${left && html`<span>${word("about_left", { time: wholeSeconds(left) })}</span>`}
    <span class="caption end">${percent}</span>
  </p>`;
}

/**
 * Returns the bar of a result of the settings.
 * @param {Result} result
 */
function doneBar(result) {
  const { info } = result;
  const file = fileText(state, result);
  const grade = gradeOf(info);
  const brief = grade ? word("done_brief", { file, grade: gradeName(grade) }) : file;
  const done = word("done_in", { time: wholeSeconds(info.seconds.total) });
  return html`<div class="bar done">
    ${problem()} ${announcement(done)}
    <div class="plan">
      <b>${pixelSize(info.output.width, info.output.height)}</b>
      <span class="caption brief">${brief}</span>
    </div>
    ${settingsButton("info", word("facts"))}
    ${state.isOffline ? offlineLine(null) : factsLine(state)}
    <div class="actions">
      <button type="button" id="again" class="button plain" data-act="again">
        ${word("new_image")}
      </button>
      ${reportButton()} ${downloadButton(result, "primary")}
    </div>
  </div>`;
}

function reportButton() {
  const text = word("report");
  return fileButton("report", { kind: "secondary", image: "report", text, slot: "report" });
}

/**
 * Returns the download of a result: a link to its file, or a button that creates the file first if
 * another format is chosen.
 * @param {Result} result
 * @param {"primary" | "secondary"} kind
 */
function downloadButton(result, kind) {
  const text = word("download_as", { format: nameOfFormat(state.encoding.format) });
  const file = savedFile(state, result);
  if (file) {
    return html`<a
      id="download"
      class="button ${kind}"
      href="${file.url}"
      download="${file.name}"
      aria-label="${word("download_named", { name: file.name })}"
    >
      ${icon("download")} ${text}
    </a>`;
  }
  const shown = "export" in state.requests ? word("preparing") : text;
  return fileButton("download", { kind, text: shown, slot: "export" });
}
