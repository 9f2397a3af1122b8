// @ts-check
// Which part of the current photo is visible, and the movement to another part.

import * as viewport from "./viewport.js";

/**
 * @typedef {import("./viewport.js").View} View
 * @typedef {import("./viewport.js").Stage} Stage
 */

/**
 * - `view`: what the user has chosen. `shown`: what is on the canvas, which follows `view` in a short
 *   movement.
 * - `place`: the centre of the last view that was not the whole photo.
 * @typedef {{
 *   file: string, stage: Stage, view: View, shown: View, place: [number, number],
 *   movement: { from: View, start: number } | null,
 * }} Current
 */

const EASE_MS = 150;
const MOST_VIEWS = 200;

/** The view of the current photo. Those of other photos are kept until their return. */
export class PhotoView {
  /** @type {Current | null} */
  current = null;
  /** @type {Map<string, { view: View, stage: Stage }>} */
  #last = new Map();

  /** Forgets the current photo, but not its view. */
  leave() {
    this.current = null;
  }

  /**
   * Shows a photo, or the current one on a stage or with a result of another size. Returns whether
   * that changes the view.
   * @param {string} file
   * @param {Stage} stage
   * @param {{
   *   focus: [number, number], rectangle: import("./state.js").Rectangle | null,
   * }} start the place at which a photo opens, and what was visible before a reload of the page
   */
  show(file, stage, { focus, rectangle }) {
    const { current } = this;
    if (current && JSON.stringify(stage) === JSON.stringify(current.stage)) return false;
    const isFirst = this.#last.size === 0;
    const last = this.#last.get(file);
    const view = last
      ? viewport.adapt(last.view, last.stage, stage)
      : firstView(stage, focus, isFirst ? rectangle : null);
    const [width, height] = stage.photo;
    const place =
      current?.place ?? /** @type {[number, number]} */ ([focus[0] * width, focus[1] * height]);
    this.current = { file, stage, view, shown: view, place, movement: null };
    this.#remember(this.current);
    return true;
  }

  /**
   * Changes the view, at once or in a short movement.
   * @param {View} view
   * @param {boolean} isEased
   */
  moveTo(view, isEased) {
    const { current } = this;
    if (!current) return;
    current.view = view;
    current.movement = isEased ? { from: current.shown, start: performance.now() } : null;
    if (!isEased) current.shown = view;
    this.#remember(current);
  }

  /** Moves `shown` towards `view`, fast first, then slower. Returns whether it moves on. */
  ease() {
    const { current } = this;
    if (!current?.movement) return false;
    const { from, start } = current.movement;
    const share = Math.min(1, (performance.now() - start) / EASE_MS);
    current.shown = viewport.between(from, current.view, 1 - (1 - share) ** 3);
    if (share === 1) current.movement = null;
    return share < 1;
  }

  /** Whether the whole photo is visible. */
  get isWhole() {
    const { current } = this;
    return current !== null && viewport.isWhole(current.view, current.stage);
  }

  /** Whether too much is visible for a preview. One of a smaller result needs no network. */
  get isTooLarge() {
    const { current } = this;
    if (!current || current.stage.scale <= 1) return false;
    return viewport.hidesPhotoPixels(current.view, current.stage);
  }

  /** The visible rectangle of the photo. */
  get visible() {
    const { current } = this;
    return current && viewport.visibleRectangle(current.view, current.stage);
  }

  /** @param {Current} current */
  #remember(current) {
    const { file, view, stage } = current;
    if (!viewport.isWhole(view, stage)) current.place = [view.x, view.y];
    this.#last.delete(file);
    this.#last.set(file, { view, stage });
    const [oldest] = this.#last.keys();
    if (this.#last.size > MOST_VIEWS) this.#last.delete(oldest);
  }
}

/**
 * @param {Stage} stage
 * @param {[number, number]} focus
 * @param {import("./state.js").Rectangle | null} rectangle
 */
function firstView(stage, focus, rectangle) {
  if (rectangle) return viewport.viewOf(stage, rectangle);
  return viewport.openingView(stage, focus);
}
