// @ts-check
// The page before there is a photo: the welcome, the drop box and the examples. During an upload,
// the drop box shows its progress.

import { iconButton } from "./buttons.js";
import { draw, drawRows, html, icon, onPress } from "./dom.js";
import { openBatchDialog, openPhotoDialog } from "./files.js";
import { percentOf, progressBar, wholeSeconds } from "./progress.js";
import { currentPlan, stageMode } from "./state.js";
import {
  cancelUpload,
  chooseFiles,
  onChange,
  removeFile,
  retryFile,
  showProblem,
  state,
} from "./store.js";
import { picture, pictureOf } from "./thumbnails.js";
import { problemOf } from "./uploads.js";
import { isArrived, shareOf, uploadOf } from "./upload_progress.js";
import { assetAddress, constants, formatBytes, formatNumber, formatPixels, word } from "./words.js";

/** @typedef {import("./state.js").ChosenFile} ChosenFile */

/** The files of the examples, with their names on the page. */
const EXAMPLES = {
  astronaut: () => word("example_astronaut"),
  cat: () => word("example_cat"),
  coffee: () => word("example_coffee"),
};

/** @param {Element} element */
export function mountChooser(element) {
  onPress(element, {
    choose: () => (state.tab === "batch" ? openBatchDialog() : openPhotoDialog()),
    example: (button) => chooseExample(button.dataset.name ?? ""),
    cancel: cancelUploads,
    remove: (button) => removeFile(button.dataset.id ?? ""),
    retry: (button) => retryFile(button.dataset.id ?? ""),
  });
  return onChange(() => {
    if (stageMode(state) !== "empty") return;
    draw(element, state.tab === "batch" ? batchChooser() : photoChooser());
    drawUploads(element);
  });
}

/**
 * Chooses an example like any other file.
 * @param {string} name
 */
async function chooseExample(name) {
  const response = await fetch(assetAddress(`examples/${name}.jpg`)).catch(() => null);
  if (!response?.ok) return showProblem(word("request_failed"));
  chooseFiles([new File([await response.blob()], `${name}.jpg`, { type: "image/jpeg" })]);
}

/** Ends the uploads. The photos that have arrived stay in the batch. */
function cancelUploads() {
  if (state.tab === "single") return cancelUpload();
  for (const { id, path } of state.batch.files) if (path === null) removeFile(id);
}

function photoChooser() {
  const { file } = state;
  const box = file ? photoUpload(file) : dropBox(word("upload_here"), word("upload_choose"));
  return chooser(word("welcome_head"), word("welcome_text"), html`${box} ${examples()}`);
}

function batchChooser() {
  const { files } = state.batch;
  const choice = dropBox(word("batch_files_here"), word("batch_files_choose"));
  return chooser(word("batch"), word("batch_text"), files.length ? batchUpload(files) : choice);
}

/**
 * @param {string} title
 * @param {string} lead
 * @param {import("./dom.js").Html} content
 */
function chooser(title, lead, content) {
  return html`<div class="choice">
    <div class="welcome">
      <h2>${title}</h2>
      <p class="lead">${lead}</p>
      ${problem()} ${content}
    </div>
    <footer class="caption">
      <span>${word("examples_credit")}</span>
      <a href="endpoints?view=api">API</a>
    </footer>
  </div>`;
}

/** Why something could not be done. While a photo is on the stage, the bar shows it. */
function problem() {
  if (!state.problem || currentPlan(state)) return null;
  return html`<p id="problem" class="problem" role="alert">${state.problem.text}</p>`;
}

/**
 * The whole box opens the dialog. For the keyboard it contains a button.
 * @param {string} invitation
 * @param {string} button
 */
function dropBox(invitation, button) {
  return html`<div class="drop" data-act="choose">
    ${icon("photo")}
    <p class="invitation">${invitation}</p>
    <button type="button" id="choose" class="button primary">${button}</button>
    <p class="caption">${limits()}</p>
  </div>`;
}

function limits() {
  const { pixels, bytes } = constants.limits;
  const megabytes = formatNumber(Math.floor(bytes / 1e6));
  const text = word("upload_hint", { pixels: formatPixels(pixels), megabytes });
  return text.replace(/(\d) /g, "$1\u00a0"); // No line ends between a number and its unit.
}

function examples() {
  const buttons = Object.entries(EXAMPLES).map(
    ([name, text]) =>
      html`<button type="button" class="example" data-act="example" data-name="${name}">
        <img src="${constants.cards[name]}" alt="" draggable="false" />
        <span>${text()}</span>
      </button>`,
  );
  return html`<section>
    <p class="caption">${word("examples")}</p>
    <div class="examples">${buttons}</div>
  </section>`;
}

/** @param {ChosenFile} file */
function photoUpload(file) {
  const upload = uploadOf([file]);
  const { name } = file;
  // What was sent without an answer will be sent again.
  const share = state.isOffline ? 0 : upload.share;
  const title = word("upload_of", { name, percent: percentOf(share) });
  return html`<div class="drop uploading">
    ${picture(pictureOf(file))}
    <p class="invitation">${title}</p>
    ${progressBar(share, word("uploading", { name }))}
    <p class="caption">${uploadText(upload)}</p>
    <button type="button" class="button secondary" data-act="cancel">${word("cancel")}</button>
  </div>`;
}

/** @param {ChosenFile[]} files */
function batchUpload(files) {
  const upload = uploadOf(files);
  const percent = percentOf(upload.share);
  const title =
    files.length === 1
      ? word("upload_of", { name: files[0].name, percent })
      : word("upload_of_many", { n: files.length, percent });
  return html`<div class="uploads">
      <div class="uploads-head">
        <div>
          <p class="invitation">${title}</p>
          <p class="caption">${uploadText(upload)}</p>
        </div>
        <button type="button" class="button secondary" data-act="cancel">${word("cancel")}</button>
      </div>
      ${progressBar(upload.share, title)}
      <ul data-own></ul>
    </div>
    <p class="caption">
      <span class="drag">${word("upload_more")}</span> ${word("upload_cancel")}
    </p>`;
}

/**
 * Draws the rows of the uploads.
 * @param {Element} element
 */
function drawUploads(element) {
  const list = element.querySelector(".uploads > ul");
  if (!list) return;
  const rows = state.batch.files.map((file) => ({
    shell: html`<li data-key="${file.id}" data-own></li>`,
    content: uploadRow(file),
  }));
  drawRows(list, rows);
}

/** @param {ChosenFile} file */
function uploadRow(file) {
  const { name } = file;
  const error = file.upload?.error;
  const about = error ? html`<span class="error">${error}</span>` : formatBytes(file.bytes);
  return html`${picture(pictureOf(file))}
    <p>${name}<span class="caption">${about}</span></p>
    ${rowState(file)}
    ${iconButton("remove", "close", word("remove_file", { name }), html`data-id="${file.id}"`)}`;
}

/** @param {ChosenFile} file */
function rowState(file) {
  if (isArrived(file)) {
    return html`<span class="arrived" role="img" aria-label="${word("uploaded")}">
      ${icon("check")}
    </span>`;
  }
  if (file.upload?.error) {
    if (!file.blob || problemOf(file.blob)) return null; // It would fail again.
    return html`<button
      type="button"
      class="button secondary"
      data-act="retry"
      data-id="${file.id}"
    >
      ${word("try_again")}
    </button>`;
  }
  const share = shareOf(file);
  if (!share) return html`<span class="caption">${word("state_waiting")}</span>`;
  const { name } = file;
  return html`${progressBar(share, word("uploading", { name }))}
    <span class="percent">${word("share_done", { percent: percentOf(share) })}</span>`;
}

/** Returns bytes in megabytes, with a decimal if there are few. @param {number} bytes */
const megabytes = (bytes) => (bytes / 1e6).toFixed(bytes < 10e6 ? 1 : 0);

/** @param {ReturnType<typeof uploadOf>} upload */
function uploadText({ bytes, sent, seconds }) {
  if (state.isOffline) return word("server_away");
  if (bytes < 1e6) return formatBytes(bytes);
  const values = { done: megabytes(sent), total: megabytes(bytes) };
  if (seconds === null) return word("upload_bytes", values);
  return word("upload_bytes_left", { ...values, time: wholeSeconds(seconds) });
}
