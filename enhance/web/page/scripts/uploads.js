// @ts-check
// The choice of photos, and their uploads.
import { createName, reasonOf, upload } from "./client.js";
import { changeFile, onLost, requestNow } from "./requests.js";
import { percentOf } from "./progress.js";
import { follow } from "./runs.js";
import { afterChange, change, inSlot, showProblem, state, stop } from "./slots.js";
import { withoutPhoto, withoutReduce } from "./state.js";
import { isOnItsWay } from "./upload_progress.js";
import { constants, formatBytes, formatNumber, word } from "./words.js";

/** @typedef {import("./state.js").ChosenFile} ChosenFile */

/** The slots of the uploads of the batch. */
const UPLOADS = ["upload 1", "upload 2"];

/**
 * Returns a chosen file that has not been sent yet.
 * @param {File} blob
 * @returns {ChosenFile}
 */
export function fileFrom(blob) {
  const sent = { share: 0, seconds: null, error: problemOf(blob) };
  return { id: createName(), name: blob.name, bytes: blob.size, path: null, blob, upload: sent };
}

/** Types without a meaning. Camera raw files often have one of them. */
const UNKNOWN_TYPES = ["", "application/octet-stream"];

/**
 * Returns why the server would refuse a file, as far as that is known before it is sent.
 * @param {File} blob
 */
export function problemOf(blob) {
  const isImage = UNKNOWN_TYPES.includes(blob.type) || blob.type.startsWith("image/");
  if (!isImage) return word("upload_no_image");
  if (blob.size > constants.limits.bytes) {
    const limit = formatNumber(constants.limits.bytes / 1e6);
    return word("upload_file_too_large", { limit });
  }
  return blob.size === 0 ? word("file_empty", { name: blob.name }) : null;
}

/**
 * Takes files: one in Single replaces the photo, and others go to the batch.
 * @param {File[]} files
 */
export function chooseFiles(files) {
  if (files.length === 0) return;
  if (state.tab === "single" && files.length === 1) return replacePhoto(fileFrom(files[0]));
  change({ tab: "batch" });
  addFiles(files);
}

/** @param {ChosenFile} file */
function replacePhoto(file) {
  const error = file.upload?.error;
  if (error) return showProblem(error);
  // The photo that is shown comes back if the upload is cancelled.
  const previous = state.file?.path ? state.file : state.previous;
  const changed = withoutReduce(state.changed);
  change({ file, previous, changed, region: null, problem: null });
  sendPhoto(file);
}

/** @param {ChosenFile} file */
function sendPhoto(file) {
  const work = async (/** @type {AbortSignal} */ signal) => {
    const path = await send(file, signal, (patch) => change({ file: { ...file, ...patch } }));
    const sent = { ...file, path, upload: null };
    // A slider can have been moved during the upload.
    change({ file: sent, changed: withoutReduce(state.changed), region: null });
    // The run of another photo goes on without this page.
    if (state.run?.file === path) follow(sent, state.run);
    else detach();
    requestNow();
  };
  stop("photo", "preview");
  inSlot("upload", file.id, work, (error) => {
    const text = uploadProblem(state.file, error);
    change({ file: state.previous, previous: null });
    showProblem(text);
  });
}

/**
 * Returns why an upload has failed, with how far it came.
 * @param {ChosenFile | null | undefined} file
 * @param {Error} error
 */
function uploadProblem(file, error) {
  const reason = reasonOf(error);
  const percent = percentOf(file?.upload?.share ?? 0);
  // What was sent as a whole was refused for another reason.
  return percent % 100 ? word("upload_stopped", { percent, reason }) : reason;
}

function detach() {
  stop("run");
  change({ run: null, progress: null });
}

/**
 * Sends a file, and shows its progress by changes of its fields. Returns its path.
 * @param {ChosenFile} file
 * @param {AbortSignal} signal
 * @param {(patch: Partial<ChosenFile>) => void} show
 */
async function send(file, signal, show) {
  const began = performance.now();
  const onShare = (/** @type {number} */ share) => {
    const seconds = (performance.now() - began) / 1000;
    const left = share > 0 && seconds > 1 ? (seconds * (1 - share)) / share : null;
    show({ upload: { share, seconds: left, error: null } });
  };
  return await upload(/** @type {File} */ (file.blob), { signal, onShare });
}

/** Ends the upload of a photo. The photo before it is shown again. */
export function cancelUpload() {
  stop("upload");
  change({ file: state.previous, previous: null });
  requestNow();
}

/** Returns to the page without a photo. A run of the photo goes on. */
export function startOver() {
  stop("upload", "photo", "preview", "run", "export");
  change({ ...withoutPhoto(), changed: withoutReduce(state.changed) });
}

/**
 * Adds files to the batch, as many as the server accepts at once. The first one is selected if there
 * is no other.
 * @param {File[]} files
 */
export function addFiles(files) {
  const { batch } = state;
  const chosen = files.slice(0, countFitting(files)).map(fileFrom);
  const selected = batch.selected ?? chosen[0]?.id ?? null;
  change({ batch: { ...batch, files: [...batch.files, ...chosen], selected }, problem: null });
  if (chosen.length < files.length) showProblem(fullText(files.length - chosen.length));
  sendNext();
}

/**
 * Returns how many of the files the batch has room for.
 * @param {File[]} files
 */
function countFitting(files) {
  const { limits } = constants;
  let bytes = state.batch.files.reduce((sum, file) => sum + file.bytes, 0);
  const room = limits.files - state.batch.files.length;
  const first = files.findIndex((file, place) => {
    bytes += file.size;
    return place >= room || bytes > limits.batch_bytes;
  });
  return first < 0 ? files.length : first;
}

/** @param {number} n of files that were not added */
function fullText(n) {
  const { files, batch_bytes } = constants.limits;
  return word("batch_full", { n, files, size: formatBytes(batch_bytes) });
}

// The drop box shows the first uploads, and the list takes over once none is on its way any more.
afterChange(() => {
  const { batch } = state;
  const isSettled = !batch.files.some(isOnItsWay);
  const isOpen = batch.files.length > 0 && (batch.isOpen || isSettled);
  if (isOpen !== batch.isOpen) change({ batch: { ...batch, isOpen } });
});

/** Ends the upload of a file of the batch. @param {string} id */
export function stopSending(id) {
  for (const slot of UPLOADS) if (state.requests[slot] === id) stop(slot);
}

/** Sends the next files of the batch that are not on the server, two at a time. */
export function sendNext() {
  for (const slot of UPLOADS) {
    const next = slot in state.requests ? null : nextUnsent();
    if (next) sendInSlot(slot, next);
  }
}

function nextUnsent() {
  const sent = UPLOADS.map((slot) => state.requests[slot]);
  return state.batch.files.find((file) => isOnItsWay(file) && !sent.includes(file.id));
}

/**
 * @param {string} slot
 * @param {ChosenFile} file
 */
function sendInSlot(slot, file) {
  const work = async (/** @type {AbortSignal} */ signal) => {
    const path = await send(file, signal, (patch) => changeFile(file.id, patch));
    changeFile(file.id, { path, upload: null });
  };
  const failed = (/** @type {Error} */ error) => {
    const sent = state.batch.files.find(({ id }) => id === file.id);
    const text = uploadProblem(sent, error);
    changeFile(file.id, { upload: { share: 0, seconds: null, error: text } });
  };
  inSlot(slot, file.id, work, failed).then(sendNext);
}

// A file that the page still has is sent again, once.
/** @type {Set<string>} */
const sentAgain = new Set();
onLost((file) => {
  const isOfBatch = state.batch.files.some((one) => one.id === file.id);
  // The user can have chosen another photo meanwhile.
  if (!isOfBatch && state.file?.id !== file.id) return;
  const isHopeless = !file.blob || sentAgain.has(file.id);
  sentAgain.add(file.id);
  const sent = { share: 0, seconds: null, error: isHopeless ? word("file_lost") : null };
  if (isOfBatch) {
    changeFile(file.id, { path: null, upload: sent });
    sendNext();
  } else if (isHopeless) {
    startOver();
    showProblem(word("file_lost"));
  } else {
    const again = { ...file, path: null, upload: sent };
    change({ file: again, region: null });
    sendPhoto(again);
  }
});
