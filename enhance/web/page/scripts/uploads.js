// @ts-check
// The choice of photos, which are sent to the server one after the other.
import { call, createName, Refused, upload } from "./client.js";
import { onLost, requestNow } from "./requests.js";
import { follow } from "./runs.js";
import { change, inSlot, state, stop } from "./slots.js";
import { constants, formatNumber, word } from "./words.js";

/** @typedef {import("./state.js").ChosenFile} ChosenFile */

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
function problemOf(blob) {
  const isImage = UNKNOWN_TYPES.includes(blob.type) || blob.type.startsWith("image/");
  if (!isImage) return word("upload_no_image");
  if (blob.size > constants.limits.bytes) {
    const limit = formatNumber(constants.limits.bytes / 1e6);
    return word("upload_file_too_large", { limit });
  }
  return blob.size === 0 ? word("file_unreadable", { name: blob.name }) : null;
}

/**
 * Takes files: one in Single replaces the photo, and others go to the batch.
 * @param {File[]} files
 */
export function chooseFiles(files) {
  if (files.length === 0) return;
  if (state.tab === "single" && files.length === 1) return choosePhoto(fileFrom(files[0]));
  change({ tab: "batch" });
  addFiles(files);
}

/** @param {ChosenFile} file */
function choosePhoto(file) {
  const error = file.upload?.error;
  if (error) return change({ problem: error });
  // The photo that is shown comes back if the upload is cancelled.
  const previous = state.file?.path ? state.file : state.previous;
  const { reduce: _, ...changed } = state.changed;
  change({ file, previous, changed, view: null, problem: null });
  sendPhoto(file);
}

/** @param {ChosenFile} file */
function sendPhoto(file) {
  const work = async (/** @type {AbortSignal} */ signal) => {
    const path = await send(file, signal, (patch) => change({ file: { ...file, ...patch } }));
    const { reduce: _, ...changed } = state.changed;
    const sent = { ...file, path, upload: null };
    change({ file: sent, changed, view: null });
    // The run of another photo goes on without this page.
    if (state.run?.file === path) follow(sent, state.run);
    else detach();
    requestNow();
  };
  stop("photo", "preview");
  inSlot("upload", file.id, work, (error) =>
    change({ file: state.previous, previous: null, problem: error.message }),
  );
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
  const { reduce: _, ...changed } = state.changed;
  change({
    file: null,
    previous: null,
    changed,
    view: null,
    preview: null,
    previewProblem: null,
    run: null,
    progress: null,
    problem: null,
    isComparing: false,
  });
}

/**
 * Adds files to the batch. The first one is selected if there is no other.
 * @param {File[]} files
 */
export function addFiles(files) {
  const chosen = files.map(fileFrom);
  const { batch } = state;
  const selected = batch.selected ?? chosen[0]?.id ?? null;
  change({ batch: { ...batch, files: [...batch.files, ...chosen], selected } });
  sendNext();
}

/**
 * Changes fields of a file of the batch, if it is still there.
 * @param {string} id
 * @param {Partial<ChosenFile>} patch
 */
export function changeFile(id, patch) {
  const files = state.batch.files.map((file) => (file.id === id ? { ...file, ...patch } : file));
  change({ batch: { ...state.batch, files } });
}

/**
 * Removes a file from the batch. Its upload ends.
 * @param {string} id
 */
export function removeFile(id) {
  const { batch } = state;
  const files = batch.files.filter((file) => file.id !== id);
  const selected = batch.selected === id ? (files[0]?.id ?? null) : batch.selected;
  change({ batch: { ...batch, files, selected } });
  if (state.requests.files === id) stop("files");
  sendNext();
}

/**
 * Sends a file of the batch again.
 * @param {string} id
 */
export function retryFile(id) {
  changeFile(id, { upload: { share: 0, seconds: null, error: null } });
  sendNext();
}

/** Sends the next file of the batch that is not on the server. */
export function sendNext() {
  if ("files" in state.requests) return;
  const next = state.batch.files.find((file) => !file.path && file.blob && !file.upload?.error);
  if (!next) return;
  const work = async (/** @type {AbortSignal} */ signal) => {
    const path = await send(next, signal, (patch) => changeFile(next.id, patch));
    changeFile(next.id, { path, upload: null });
  };
  const failed = (/** @type {Error} */ error) =>
    changeFile(next.id, { upload: { share: 0, seconds: null, error: error.message } });
  inSlot("files", next.id, work, failed).then(sendNext);
}

// A file that the page still has is sent again, once.
/** @type {Set<string>} */
const sentAgain = new Set();
onLost((file) => {
  const isOfBatch = state.batch.files.some((one) => one.id === file.id);
  const isHopeless = !file.blob || sentAgain.has(file.id);
  sentAgain.add(file.id);
  const sent = { share: 0, seconds: null, error: isHopeless ? word("file_lost") : null };
  if (isOfBatch) {
    changeFile(file.id, { path: null, upload: sent });
    sendNext();
  } else if (isHopeless) {
    startOver();
    change({ problem: word("file_lost") });
  } else {
    const again = { ...file, path: null, upload: sent };
    change({ file: again, view: null });
    sendPhoto(again);
  }
});
