// @ts-check
// The list of the batch: those files first that need attention, then the others, each with its state.
import { fileState, isLimited, needsAttention, planOf, resultOfFile } from "./batch_state.js";
import { iconButton } from "./buttons.js";
import { draw, drawRows, html, icon, onPress } from "./dom.js";
import { pixelSize } from "./facts.js";
import { gradeName, gradeOf } from "./fidelity.js";
import { openBatchDialog } from "./files.js";
import { percentOf, progressBar, wholeSeconds } from "./progress.js";
import {
  clearFiles,
  enlargeFile,
  onChange,
  removeFile,
  replaceFile,
  retryFile,
  selectFile,
  state,
} from "./store.js";
import { CHOICES, placeOf } from "./state.js";
import { keepPictures, picture, pictureOf, reducedAddress } from "./thumbnails.js";
import { problemOf } from "./uploads.js";
import { word } from "./words.js";

/**
 * @typedef {import("./state.js").ChosenFile} ChosenFile
 * @typedef {import("./batch_state.js").FileState} FileState
 * @typedef {{ file: ChosenFile, now: FileState }} Row
 */

/** The fields of the state that the list shows. Others change much more often. */
const SHOWN = ["tab", "batch", "plans", "results", ...CHOICES];
/** The shorter side of a thumbnail in device pixels, on a screen with two of them for a CSS pixel. */
const THUMBNAIL_SIDE = 88;

/** @param {HTMLElement} element */
export function mountList(element) {
  onPress(element, {
    add: () => openBatchDialog(),
    clear: clearFiles,
    select: (button) => selectFile(idOf(button)),
    remove: (button) => removeRow(element, idOf(button)),
    retry: (button) => retryFile(idOf(button)),
    enlarge: (button) => enlargeFile(idOf(button)),
    replace: (button) => openBatchDialog(([blob]) => replaceFile(idOf(button), blob)),
  });
  element.addEventListener("keydown", (event) => moveByKey(element, event));
  /** @type {any[]} */
  let shown = [];
  return onChange(() => {
    const now = SHOWN.map((name) => /** @type {any} */ (state)[name]);
    if (now.every((value, place) => value === shown[place])) return;
    shown = now;
    drawList(element);
  });
}

/** @param {HTMLElement} inner */
function idOf(inner) {
  const row = /** @type {HTMLElement} */ (inner.closest(".file"));
  return row.dataset.id ?? "";
}

/** @param {HTMLElement} element @param {string} id */
function rowOf(element, id) {
  return /** @type {HTMLElement | null} */ (element.querySelector(`.file[data-id="${id}"]`));
}

/**
 * Removes a file. The focus goes to its neighbour.
 * @param {HTMLElement} element
 * @param {string} id
 */
function removeRow(element, id) {
  const row = rowOf(element, id);
  const neighbour = nextRow(row, 1) ?? nextRow(row, -1);
  removeFile(id);
  if (neighbour) focusRow(neighbour);
}

/**
 * @param {Element | null} row
 * @param {1 | -1} step
 * @returns {HTMLElement | null}
 */
function nextRow(row, step) {
  const next = step > 0 ? row?.nextElementSibling : row?.previousElementSibling;
  if (!(next instanceof HTMLElement)) return null;
  return next.matches(".file") ? next : nextRow(next, step);
}

/** @param {HTMLElement} row */
function focusRow(row) {
  row.querySelector("button")?.focus();
}

/**
 * @param {HTMLElement} element
 * @param {KeyboardEvent} event
 */
function moveByKey(element, event) {
  const row = /** @type {Element} */ (event.target).closest(".file");
  if (!(row instanceof HTMLElement)) return;
  const rows = /** @type {NodeListOf<HTMLElement>} */ (element.querySelectorAll(".file"));
  const targets = {
    ArrowDown: () => nextRow(row, 1),
    ArrowUp: () => nextRow(row, -1),
    Home: () => rows[0],
    End: () => rows[rows.length - 1],
  };
  if (event.key === "Delete") removeRow(element, row.dataset.id ?? "");
  const target = targets[event.key]?.();
  if (!target) return;
  event.preventDefault();
  selectFile(target.dataset.id ?? "");
  focusRow(target);
}

/** @param {HTMLElement} element */
function drawList(element) {
  const { tab, batch } = state;
  if (tab !== "batch" || !batch.isOpen) return;
  const { files } = batch;
  // Those of planned files come from the server.
  keepPictures([...files.filter((file) => !planOf(state, file)), state.file ?? { id: "" }]);
  const rows = files.map((file) => ({ file, now: fileState(state, file) }));
  const bad = rows.filter(({ now }) => needsAttention(now));
  const good = rows.filter(({ now }) => !needsAttention(now));
  draw(
    element,
    html`<nav class="batch" aria-label="${word("batch_list")}">
      ${listHead(files.length)}
      <ul data-own></ul>
    </nav>`,
  );
  const list = /** @type {HTMLElement} */ (element.querySelector("ul"));
  drawRows(list, [
    ...(bad.length ? [attentionHead(bad.length)] : []),
    ...bad.map((row) => ({ shell: shell(row), content: attentionRow(row) })),
    ...good.map((row) => ({ shell: shell(row), content: plainRow(row) })),
  ]);
}

/** @param {number} count */
function listHead(count) {
  const text = count === 1 ? word("batch_count_1", { n: 1 }) : word("batch_count", { n: count });
  return html`<div class="list-head">
    <h2 class="label">${text}</h2>
    ${clearButton()}
    <button type="button" id="batch-add" class="button quiet" data-act="add">
      ${icon("add")} ${word("batch_add")}
    </button>
  </div>`;
}

function clearButton() {
  const label = word("batch_clear");
  const disabled = state.batch.isRunning && html`disabled`;
  return iconButton("clear", "remove", label, html`id="batch-clear" title="${label}" ${disabled}`);
}

/** @param {number} count */
function attentionHead(count) {
  const text =
    count === 1 ? word("batch_attention_1", { n: 1 }) : word("batch_attention", { n: count });
  return {
    shell: html`<li class="attention-head" data-key="attention" data-own></li>`,
    content: html`${icon("warning")} <span role="status">${text}</span>`,
  };
}

/** @param {Row} row */
function shell({ file, now }) {
  const isSelected = file.id === state.batch.selected;
  const kind = needsAttention(now) ? "attention" : "";
  return html`<li
    class="file ${kind} ${isSelected && "selected"}"
    data-key="${file.id}"
    data-id="${file.id}"
    data-state="${now}"
    data-own
  ></li>`;
}

/** @param {Row} row */
function plainRow(row) {
  const { file, now } = row;
  const label = word("remove_file", { name: file.name });
  return html`${selectButton(row, html`${sizeLine(row)} ${stateLine(row)}`)}
  ${iconButton("remove", "close", label, tabStop(file))}
  ${shareOf(file, now) !== null && progressBar(shareOf(file, now) ?? 0, file.name)}`;
}

/**
 * Returns the button that shows a file on the stage. Of all of them, Tab reaches the selected one,
 * and arrow keys the others.
 * @param {Row} row
 * @param {import("./dom.js").Html} about
 */
function selectButton({ file }, about) {
  const isSelected = file.id === state.batch.selected;
  return html`<button
    type="button"
    class="open"
    data-act="select"
    aria-current="${isSelected}"
    ${tabStop(file)}
  >
    ${thumbnail(file)}
    <span class="about"> <b title="${file.name}">${file.name}</b> ${about} </span>
  </button>`;
}

/** @param {ChosenFile} file */
const tabStop = ({ id }) => html`tabindex="${id === state.batch.selected ? 0 : -1}"`;

/** @param {ChosenFile} file */
function thumbnail(file) {
  const plan = planOf(state, file);
  if (!plan) return picture(pictureOf(file));
  const address = reducedAddress(plan.photo, THUMBNAIL_SIDE);
  return html`<span class="thumbnail">
    <img src="${address}" alt="" loading="lazy" decoding="async" draggable="false" />
  </span>`;
}

/** Returns the size of the photo or its result, as soon as it is known. @param {Row} row */
function sizeLine({ file, now }) {
  const output = now === "done" ? resultOfFile(state, file)?.info.output : null;
  const size = output ?? planOf(state, file)?.photo;
  return size && html`<span class="caption">${pixelSize(size.width, size.height)}</span>`;
}

/** @param {Row} row */
function stateLine(row) {
  const text = stateText(row);
  if (!text) return null;
  const { now } = row;
  const isBusy = now === "running" || now === "sending";
  const sign = isBusy ? html`<i class="ring"></i>` : now === "done" && icon("check");
  return html`<span class="caption state">${sign} ${text}</span>`;
}

/** @param {Row} row */
function stateText({ file, now }) {
  const percent = percentOf(shareOf(file, now) ?? 0);
  if (now === "queued") return word("file_queued");
  if (now === "sending") return word("file_sending", { percent });
  if (now === "unread") return word("file_unread");
  if (now === "waiting") return word("state_waiting");
  if (now === "next") return word("file_next");
  if (now === "running") return runningText(file, percent);
  return now === "done" ? doneText(file) : limitText(file);
}

/**
 * @param {ChosenFile} file
 * @param {number} percent
 */
function runningText(file, percent) {
  const left = state.batch.progress?.files[file.id]?.seconds_left ?? null;
  if (left === null || percent === 0) return word("state_running");
  return word("file_progress", { percent, time: wholeSeconds(left) });
}

/** @param {ChosenFile} file */
function doneText(file) {
  const grade = gradeOf(resultOfFile(state, file)?.info ?? {});
  return grade ? word("batch_fidelity", { grade: gradeName(grade) }) : word("file_done");
}

/** @param {ChosenFile} file */
function limitText(file) {
  const plan = planOf(state, file);
  if (!plan || !state.largest || !isLimited(state, plan)) return null;
  return word("file_limited", { size: pixelSize(plan.result.width, plan.result.height) });
}

/**
 * @param {ChosenFile} file
 * @param {FileState} now
 */
function shareOf(file, now) {
  if (now === "sending") return file.upload?.share ?? 0;
  if (now !== "running") return null;
  return state.batch.progress?.files[file.id]?.share ?? 0;
}

/** @param {Row} row */
function attentionRow(row) {
  const reason = shortReason(row);
  return html`${selectButton(row, html`<span class="reason">${reason}</span>`)}
    <span class="actions">
      ${repairButton(row)}
      <button type="button" class="button quiet" data-act="remove">${word("batch_remove")}</button>
    </span>`;
}

/** Returns the reason without the name of the file, which is above it. @param {Row} row */
function shortReason(row) {
  const reason = fullReason(row) ?? "";
  const { name } = row.file;
  if (!reason.startsWith(name)) return reason;
  return word("this_file_is", { reason: reason.slice(name.length).trimStart() });
}

/** @param {Row} row */
function fullReason({ file, now }) {
  if (now === "unsent") return file.upload?.error;
  if (now === "unreadable") return file.problem;
  if (now === "refused") return planOf(state, file)?.problem?.text;
  return state.batch.progress?.files[file.id]?.error;
}

/** @param {Row} row */
function repairButton({ file, now }) {
  if (now === "refused") return solutionButton(file);
  const isGone = now === "unreadable" || (now === "unsent" && !canSendAgain(file));
  return isGone
    ? actionButton("replace", word("batch_replace"))
    : actionButton("retry", word("try_again"));
}

/** After a reload, the page no longer has the file. @param {ChosenFile} file */
const canSendAgain = ({ blob }) => blob !== null && problemOf(blob) === null;

/** @param {ChosenFile} file */
function solutionButton(file) {
  const plan = planOf(state, file);
  if (!plan?.problem) return null;
  const [solution] = plan.problem.solutions;
  const { width, height } = plan.result;
  const size = word("use_size", { size: pixelSize(width, height) });
  return actionButton("enlarge", placeOf(plan.problem) === "size" ? size : solution.text);
}

/**
 * @param {string} act
 * @param {string} text
 */
function actionButton(act, text) {
  return html`<button type="button" class="button secondary" data-act="${act}">${text}</button>`;
}
