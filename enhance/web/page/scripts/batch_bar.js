// @ts-check
// The bar of the batch: the selected photo, the progress of a run, and the next step.
import {
  announcement,
  cancelButton,
  comebackText,
  offlineLine,
  problem,
  save,
  settingsButton,
  startButton,
} from "./bar_parts.js";
import {
  countStates,
  countUnread,
  countUnsent,
  expectedSeconds,
  resultOfFile,
  unfinishedFiles,
} from "./batch_state.js";
import { fileButton } from "./buttons.js";
import { html, icon } from "./dom.js";
import { factHtml, pixelSize } from "./facts.js";
import { announcedPercent, progressBar, wholeSeconds } from "./progress.js";
import { currentFile, currentPlan, isSame, settingsOf } from "./state.js";
import { cancelBatch, prepareArchive, runBatch, state } from "./store.js";
import { formatDuration, joinTexts, nameOf, word } from "./words.js";

/** What the buttons of the bar do. */
export const BATCH_ACTIONS = {
  "batch-enhance": runBatch,
  "batch-cancel": cancelBatch,
  "batch-download": () => save(prepareArchive()),
};

/** Returns the bar of the batch. */
export function batchBar() {
  if (state.batch.files.length === 0) return html``;
  return state.batch.isRunning ? runningBar() : restingBar();
}

function restingBar() {
  const unfinished = unfinishedFiles(state).length;
  const isEnded = state.batch.progress !== null;
  return html`<div class="bar batch planned">
    ${problem()} ${announcement((isEnded && outcome()) || "")}
    ${settingsButton("sliders", word("settings"))}
    ${state.isOffline ? offlineLine(null) : selectedFacts()}
    ${isEnded && unfinished > 0 && downloadButton("secondary")}
    <div class="step">
      ${isEnded && unfinished === 0 ? ended() : planned()}
      ${isEnded && unfinished === 0 ? downloadButton("primary") : enhanceButton(unfinished)}
    </div>
  </div>`;
}

function planned() {
  const files = unfinishedFiles(state);
  const n = files.length;
  const unread = countUnread(state);
  const count = n === 1 ? word("batch_count_1", { n }) : word("batch_count", { n });
  return html`<div class="plan">
    <b>${unread > 0 ? word("batch_unread", { n: unread }) : count}</b>
    <span class="caption" id="batch-why">${whyNot(n) ?? expectation(files)}</span>
  </div>`;
}

/**
 * Returns why the batch cannot be started; null if it can.
 * @param {number} count of the files that a run would enhance
 */
function whyNot(count) {
  const unsent = countUnsent(state);
  if (state.isOffline) return word("no_answer");
  if (unsent > 0) return word("batch_unsent", { n: unsent });
  return count === 0 ? word("batch_none") : null;
}

/** @param {import("./state.js").ChosenFile[]} files */
function expectation(files) {
  const { job, progress } = state.batch;
  if (progress && job && isSame(job.settings, settingsOf(state))) return outcome();
  const seconds = expectedSeconds(state, files);
  if (seconds === null) return word("measuring");
  return word("batch_expected", { time: formatDuration(seconds) });
}

function ended() {
  const { done } = countStates(state);
  return html`<div class="plan">
    <b>${word("batch_count_done", { n: done })}</b>
    <span class="caption">${failures()}</span>
  </div>`;
}

/** Returns how the last run has ended. */
function outcome() {
  const { done } = countStates(state);
  return joinTexts([done > 0 && word("batch_count_done", { n: done }), failures()]);
}

/** Returns how many photos of the last run are not done, or null. */
function failures() {
  const { failed, cancelled } = countStates(state);
  return joinTexts([
    failed > 0 && word("batch_count_failed", { n: failed }),
    cancelled > 0 && word("batch_count_cancelled", { n: cancelled }),
  ]);
}

/** @param {number} count of the files that it enhances, shown as soon as all of them are read */
function enhanceButton(count) {
  const isCounted = count > 0 && countUnread(state) === 0;
  const text = isCounted ? word("batch_enhance_n", { n: count }) : word("batch_enhance");
  return startButton("batch-enhance", text, { isPossible: !whyNot(count), why: "batch-why" });
}

/**
 * Returns the button for the ZIP file of the results, as soon as there is one.
 * @param {"primary" | "secondary"} kind
 */
function downloadButton(kind) {
  const n = state.batch.archive?.count ?? countStates(state).done;
  if (n === 0) return null;
  const text = word("batch_download_n", { n });
  const isDisabled = state.isOffline;
  return fileButton("batch-download", { kind, text, slot: "archive", isDisabled });
}

/** Returns what is known of the selected photo. */
function selectedFacts() {
  const file = currentFile(state);
  const plan = currentPlan(state);
  if (!file || !plan) return html`<div class="facts-line"></div>`;
  const { photo, settings } = plan;
  const output = resultOfFile(state, file)?.info.output ?? plan.result;
  const facts = [
    { label: word("batch_selected"), value: file.name },
    { label: word("fact_size"), value: pixelSize(photo.width, photo.height) },
    { label: word("fact_result"), value: pixelSize(output.width, output.height) },
  ];
  if (state.preset === "auto") {
    facts.push({ label: word("batch_auto_chose"), value: nameOf("preset", settings.preset) });
  }
  return html`<div class="facts-line">
    <dl id="facts">${facts.map(factHtml)}</dl>
  </div>`;
}

function runningBar() {
  const { isOffline } = state;
  const share = state.batch.progress?.share ?? 0;
  return html`<div class="bar batch running ${isOffline && "offline"}">
    ${problem()} ${announcement(announced(share))} ${settingsButton("sliders", word("settings"))}
    <div class="run" id="progress">
      ${isOffline ? offlineLine(countText()) : progressLine()}
      ${progressBar(share, word("enhancing"))}
    </div>
    <div class="step">
      ${downloadButton("secondary")} ${isOffline ? enhanceButton(0) : cancelButton("batch-cancel")}
    </div>
  </div>`;
}

/** @param {number} share */
function announced(share) {
  return `${word("enhancing")} ${word("share_done", { percent: announcedPercent(share) })}`;
}

/** Returns how many photos are done, or before the first one, which one is enhanced. */
function countText() {
  const { waiting, running, done, failed } = countStates(state);
  const total = waiting + running + done + failed || state.batch.job?.files.length;
  return done > 0 ? word("batch_done_of", { done, total }) : word("batch_first", { total });
}

function progressLine() {
  const comeback = comebackText();
  const { failed } = countStates(state);
  const failures = failed > 0 && word("batch_count_failed", { n: failed });
  const end = html`<span class="caption end">${joinTexts([stepText(), failures])}</span>`;
  if (comeback) {
    return html`<p class="line comeback" role="status">
      <b>${countText()}</b> ${icon("check")} <span>${comeback}</span> ${end}
    </p>`;
  }
  return html`<p class="line">
    <b>${countText()}</b>
    <span class="full caption">${word("batch_stays")}</span>
    ${end}
  </p>`;
}

/** Returns what the run does now. */
function stepText() {
  const { progress } = state.batch;
  if (progress?.ahead) return word("waiting_place", { ahead: progress.ahead });
  if (!progress) return word("starting");
  if (progress.share >= 1) return word("batch_packing");
  if (progress.seconds_left === null) return progress.share ? word("enhancing") : word("starting");
  return word("batch_left", { time: wholeSeconds(progress.seconds_left) });
}
