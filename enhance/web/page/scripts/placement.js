// @ts-check
// The places of the controls on the stage, as lengths for the styles.

import { MARGIN, placeOnStage } from "./viewport.js";

/**
 * @typedef {import("./viewport.js").View} View
 * @typedef {import("./viewport.js").Stage} Stage
 * @typedef {import("./state.js").Rectangle} Rectangle
 */

/** At Fit, controls are aligned with the edges of a photo that is at least this wide. */
const ALIGNED_WIDTH = 784;
/** Retry preview lies in the corner of a photo that is large enough for it. */
const CORNER_WIDTH = 360;
const CORNER_HEIGHT = 200;

/**
 * Sets the distances of the photo from the edges of the stage.
 * @param {HTMLElement} viewer
 * @param {View} view
 * @param {Stage} stage
 * @param {boolean} isWhole
 */
export function placeControls(viewer, view, stage, isWhole) {
  const [left, top, width, height] = toPixels(view, stage, [0, 0, ...stage.photo]);
  const right = stage.width / stage.ratio - left - width;
  const below = stage.height / stage.ratio - top - height;
  const isAligned = isWhole && width > ALIGNED_WIDTH;
  const hasCorner = width > CORNER_WIDTH && height > CORNER_HEIGHT;
  setLength(viewer, "--above", Math.max(0, top));
  setLength(viewer, "--below", Math.max(0, below));
  setLength(viewer, "--beside", isAligned ? Math.max(0, left - MARGIN) : 0);
  setLength(viewer, "--corner-top", hasCorner ? Math.max(0, top) : 0);
  setLength(viewer, "--corner-right", hasCorner ? Math.max(0, right) : 0);
}

/**
 * Sets where the line of the divider crosses the marked area, in which it is not faint.
 * @param {HTMLElement} viewer
 * @param {View} view
 * @param {Stage} stage
 * @param {Rectangle} marked
 * @param {number} share the place of the line
 */
export function placeLine(viewer, view, stage, marked, share) {
  const [left, top, width, height] = toPixels(view, stage, marked);
  const line = (share * stage.width) / stage.ratio;
  const isCrossed = line >= left && line <= left + width;
  setLength(viewer, "--strong-top", top);
  setLength(viewer, "--strong-height", isCrossed ? height : 0);
}

/**
 * Returns where a rectangle of the photo is on the stage, in CSS pixels.
 * @param {View} view
 * @param {Stage} stage
 * @param {Rectangle} rectangle
 */
function toPixels(view, stage, rectangle) {
  return placeOnStage(view, stage, rectangle).map((value) => value / stage.ratio);
}

/**
 * @param {HTMLElement} element
 * @param {string} name of a custom property
 * @param {number} pixels
 */
function setLength(element, name, pixels) {
  const value = `${Math.round(pixels * 10) / 10}px`;
  if (element.style.getPropertyValue(name) !== value) element.style.setProperty(name, value);
}
