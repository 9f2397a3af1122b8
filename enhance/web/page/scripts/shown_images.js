// @ts-check
// The images on the stage. A preview and a live image stay until the next one is loaded.

import { neededTiles } from "./painter.js";
import { ImageCache, overviewOf } from "./tiles.js";
import { contains } from "./viewport.js";

/**
 * @typedef {import("./viewport.js").View} View
 * @typedef {import("./viewport.js").Stage} Stage
 * @typedef {import("./scene.js").Scene} Scene
 * @typedef {import("./state.js").Preview} Preview
 * @typedef {import("./painter.js").ShownPreview} ShownPreview
 */

/** Decoded, the images of one can have tens of megabytes. */
const MOST_PREVIEWS = 4;

/** The images of the current photo, loaded as far as the view needs them. */
export class ShownImages {
  /** The previews of the same settings, the newest last. @type {ShownPreview[]} */
  previews = [];
  /** @type {HTMLImageElement | null} */
  live = null;

  /** @param {() => void} onLoad */
  constructor(onLoad) {
    this.cache = new ImageCache(onLoad);
  }

  /** Forgets the images of the photo before, which are not parts of a photo or a result. */
  leave() {
    this.previews = [];
    this.live = null;
  }

  /** The newest preview that is loaded. */
  get newest() {
    return this.previews.at(-1) ?? null;
  }

  /**
   * Loads the images that a view needs.
   * @param {Scene} scene
   * @param {View} view
   * @param {Stage} stage
   * @param {boolean} showsResult
   */
  need(scene, view, stage, showsResult) {
    const { photo, result, preview, live } = scene;
    const tiles = [overviewOf(photo)];
    if (live?.address) tiles.unshift(imageTile(live.address));
    if (preview) tiles.push(imageTile(preview.before), imageTile(preview.after));
    if (result && showsResult) {
      tiles.push(overviewOf(result));
      tiles.push(...neededTiles(result, result.width / photo.width, view, stage));
    }
    tiles.push(...neededTiles(photo, 1, view, stage));
    this.cache.need(tiles);
  }

  /**
   * Takes the preview and the live image of the scene as soon as they are loaded.
   * @param {Scene} scene
   * @param {import("./state.js").Rectangle | null} requested the area for which the preview is
   */
  take(scene, requested) {
    if (scene.preview) this.#takePreview(scene.preview, requested);
    const live = scene.live?.address && this.cache.get(scene.live.address);
    if (live) this.live = live.image;
    if (scene.mode === "photo") this.live = null;
  }

  /**
   * @param {Preview} preview
   * @param {import("./state.js").Rectangle | null} requested
   */
  #takePreview(preview, requested) {
    if (preview.after === this.newest?.preview.after) return;
    const before = this.cache.get(preview.before);
    const after = this.cache.get(preview.after);
    if (!before || !after) return;
    const isPartial = requested !== null && !contains(preview.region, requested);
    const hasSamePixels = (/** @type {ShownPreview} */ other) =>
      !other.preview.isQuick && other.preview.pixels === preview.pixels;
    const kept = preview.isQuick ? this.previews : this.previews.filter(hasSamePixels);
    const shown = { preview, before: before.image, after: after.image, isPartial };
    this.previews = [...kept.slice(1 - MOST_PREVIEWS), shown];
  }
}

/**
 * An image that is not a part of a photo or a result, as a tile.
 * @param {string} address
 * @returns {import("./tiles.js").Tile}
 */
function imageTile(address) {
  return { address, area: [0, 0, 1, 1], step: 1 };
}
