// @ts-check
// Files from the browser's dialog, files that are dropped on the page or pasted, and downloads.

import { addFiles, chooseFiles } from "./store.js";

/**
 * Creates an input for files, which opens the browser's dialog.
 * @param {string} id
 * @param {boolean} isMultiple
 * @param {(files: File[]) => void} take
 */
function fileInput(id, isMultiple, take) {
  const input = document.createElement("input");
  input.type = "file";
  input.id = id;
  input.accept = "image/*,.heic,.heif,.avif,.jxl,.dng,.cr2,.cr3,.nef,.arw,.raf,.orf,.rw2";
  input.multiple = isMultiple;
  input.hidden = true;
  input.addEventListener("change", () => {
    const files = [...(input.files ?? [])];
    input.value = ""; // The same file can be chosen again.
    if (files.length) take(files);
  });
  document.body.append(input);
  return input;
}

/** @type {HTMLInputElement} */
let photoInput;
/** @type {HTMLInputElement} */
let batchInput;

/** What happens with the file that the open dialog returns, if it is not for the page as usual. */
let takeNext = /** @type {((files: File[]) => void) | null} */ (null);

/** Opens the dialog for a photo. */
export function openPhotoDialog() {
  photoInput.click();
}

/**
 * Opens the dialog for photos of the batch. They are added to it, or given to `take`.
 * @param {((files: File[]) => void) | null} [take]
 */
export function openBatchDialog(take = null) {
  takeNext = take;
  batchInput.multiple = !take;
  batchInput.click();
}

/**
 * Makes the browser download a file of the server.
 * @param {{ url: string, name: string }} file
 */
export function saveFile({ url, name }) {
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
}

/** @param {DataTransfer | null} data */
const hasFiles = (data) => Boolean(data?.types.includes("Files"));

/** @param {ClipboardEvent} event */
function paste(event) {
  const files = [...(event.clipboardData?.files ?? [])];
  if (!files.length) return;
  event.preventDefault();
  chooseFiles(files);
}

/** @param {DragEvent} event */
function dragOver(event) {
  if (!hasFiles(event.dataTransfer)) return;
  event.preventDefault(); // The page accepts the files. Otherwise the browser would open them.
  document.body.classList.add("dropping");
}

/** @param {DragEvent} event */
function dragLeave(event) {
  // Without a related target, the pointer has left the window.
  if (!event.relatedTarget) document.body.classList.remove("dropping");
}

/** @param {DragEvent} event */
function drop(event) {
  document.body.classList.remove("dropping");
  if (!hasFiles(event.dataTransfer)) return;
  event.preventDefault();
  event.stopPropagation();
  chooseFiles([...(event.dataTransfer?.files ?? [])]);
}

/** Watches the page for files. They are accepted everywhere, at any time. */
export function watchFiles() {
  photoInput = fileInput("upload-input", false, chooseFiles);
  batchInput = fileInput("batch-input", true, (files) => {
    const take = takeNext ?? addFiles;
    takeNext = null;
    take(files);
  });
  document.addEventListener("paste", paste);
  document.addEventListener("dragenter", dragOver);
  document.addEventListener("dragover", dragOver);
  document.addEventListener("dragleave", dragLeave);
  // The capture phase comes before the drop areas of other components.
  document.addEventListener("drop", drop, true);
}
