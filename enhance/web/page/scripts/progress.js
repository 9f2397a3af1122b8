// @ts-check
// Progress: its bar, and the times of runs and uploads.

import { html } from "./dom.js";
import { formatDuration, word } from "./words.js";

/** Up to this time, whole seconds are shown. */
const SHORT_SECONDS = 90;
/** A screen reader announces the progress each time that this much more is done. */
const ANNOUNCED_PERCENT = 25;

/**
 * @param {number} share from 0 to 1
 * @param {string} label
 */
export function progressBar(share, label) {
  const percent = percentOf(share);
  return html`<div
    class="progress"
    role="progressbar"
    aria-label="${label}"
    aria-valuenow="${percent}"
  >
    <i style="width: ${percent}%"></i>
  </div>`;
}

/**
 * Returns a share as a whole percentage, which is 100 only at the end.
 * @param {number} share
 */
export function percentOf(share) {
  return Math.floor(100 * Math.min(share, 1));
}

/**
 * Returns the percentage of a share that is announced.
 * @param {number} share
 */
export function announcedPercent(share) {
  return ANNOUNCED_PERCENT * Math.floor(percentOf(share) / ANNOUNCED_PERCENT);
}

/**
 * Returns a time in whole seconds, or the rounded minutes of a long time.
 * @param {number} seconds
 */
export function wholeSeconds(seconds) {
  if (seconds >= SHORT_SECONDS) return formatDuration(seconds);
  return word("seconds", { n: Math.max(1, Math.round(seconds)) });
}
