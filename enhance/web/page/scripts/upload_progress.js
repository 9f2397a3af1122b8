// @ts-check
// The progress of uploads, computed from the chosen files.

/** @typedef {import("./state.js").ChosenFile} ChosenFile */

/** @param {ChosenFile} file */
export const isArrived = (file) => file.path !== null;

/**
 * Returns whether the upload of a file waits or is under way. After a reload, the page no longer has
 * the file, so its upload has ended.
 * @param {ChosenFile} file
 */
export function isOnItsWay(file) {
  return file.path === null && file.blob !== null && !file.upload?.error;
}

/** @param {ChosenFile} file */
export const shareOf = (file) => (isArrived(file) ? 1 : (file.upload?.share ?? 0));

/**
 * Returns the bytes of files, the bytes that have been sent, and the seconds until all have arrived.
 * The seconds are null before they can be estimated.
 * @param {ChosenFile[]} files
 */
export function uploadOf(files) {
  let bytes = 0;
  let sent = 0;
  let speed = 0;
  for (const file of files) {
    const sentBytes = file.bytes * shareOf(file);
    bytes += file.bytes;
    sent += sentBytes;
    if (file.upload?.seconds) speed += (file.bytes - sentBytes) / file.upload.seconds;
  }
  const seconds = speed ? (bytes - sent) / speed : null;
  return { bytes, sent, share: bytes ? sent / bytes : 0, seconds };
}
