// @ts-check
// Painting on the canvas of the stage: the photo, previews, the live image and the result.

import { placeOnStage, visibleRectangle } from "./viewport.js";
import { overviewOf, tilesOf } from "./tiles.js";

/**
 * @typedef {import("./viewport.js").View} View
 * @typedef {import("./viewport.js").Stage} Stage
 * @typedef {import("./scene.js").Scene} Scene
 * @typedef {import("./tiles.js").Source} Source
 * @typedef {import("./state.js").Preview} Preview
 * @typedef {import("./state.js").Rectangle} Rectangle
 */

/**
 * A preview whose images are loaded. `isPartial`: it covers only a part of the area that was visible
 * when it was requested.
 * @typedef {{
 *   preview: Preview, before: HTMLImageElement, after: HTMLImageElement, isPartial: boolean,
 * }} ShownPreview
 */

/**
 * - `split`: the place of the divider as a share of the width, 1 for the whole stage before.
 * - `showsResult`: the result is shown, not the previews.
 * - `previews`: the oldest first. `isMarked`: the newest one covers only a part of what is visible.
 * - `liveImage`: the last live image of a run, which stays until its result is loaded.
 * - `framed`: a point of the photo with a frame around it.
 * - `canFade`: sharper tiles fade in.
 * @typedef {{
 *   scene: Scene, view: View, stage: Stage, images: import("./tiles.js").ImageCache, split: number,
 *   showsResult: boolean, previews: ShownPreview[], isMarked: boolean, liveImage: HTMLImageElement | null,
 *   framed: [number, number] | null, canFade: boolean,
 * }} Picture
 */

const FADE_MS = 120;
/** Black over the photo leaves .56 of its brightness beside a preview, and .62 during a run. */
const DARK_OUTSIDE_PREVIEW = "rgb(0 0 0 / 0.44)";
const DARK_DURING_RUN = "rgb(0 0 0 / 0.38)";
/** A live image is enlarged up to this many times. */
const LARGEST_BLUR = 3;
const EDGE_COLOUR = "#4fd6c6";
const LIGHT = "rgb(255 255 255 / 0.92)";
const DARK = "rgb(0 0 0 / 0.4)";
const FRAME_SIDE = 32;
const SMALLEST_FRAME = 48;
/** Two sizes of a result are the same if their scales differ less than by rounding. */
const SAME_SCALE = 0.02;
const CHECK_SIDE = 16;

/** Paints pictures on a canvas. */
export class Painter {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    const context = canvas.getContext("2d");
    if (!context) throw new Error("This browser has no canvas.");
    this.context = context;
    this.checks = context.createPattern(checkerboard(), "repeat") ?? "#fff";
    /** Whether an image is still fading in, so that the next frame differs. */
    this.isFading = false;
  }

  /** @param {Picture} picture */
  paint(picture) {
    const { width, height } = picture.stage;
    this.isFading = false;
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.clearRect(0, 0, width, height);
    this.context.imageSmoothingQuality = "high";
    const divider = Math.round(picture.split * width);
    this.inside([0, 0, divider, height], () => this.paintBefore(picture));
    this.inside([divider, 0, width - divider, height], () => this.paintAfter(picture));
    if (picture.isMarked) this.paintOutline(picture);
    if (picture.framed && picture.scene.mode === "result") this.paintFrame(picture);
  }

  /**
   * Paints inside a rectangle of the canvas.
   * @param {Rectangle} rectangle
   * @param {() => void} paint
   */
  inside(rectangle, paint) {
    if (rectangle[2] <= 0 || rectangle[3] <= 0) return;
    this.context.save();
    this.context.beginPath();
    this.context.rect(...rectangle);
    this.context.clip();
    paint();
    this.context.restore();
  }

  /** @param {Picture} picture */
  paintBefore(picture) {
    this.paintSource(picture, picture.scene.photo, 1);
    const hasPreviews = picture.scene.mode === "photo" && !picture.showsResult;
    if (hasPreviews) this.paintPreviews(picture, "before");
  }

  /** @param {Picture} picture */
  paintAfter(picture) {
    const { mode, result, photo } = picture.scene;
    if (mode === "live") return this.paintRun(picture);
    const shown = picture.showsResult ? result : null;
    const isLoaded = shown !== null && picture.images.get(overviewOf(shown).address) !== null;
    if (!isLoaded) {
      this.paintSource(picture, photo, 1);
      this.paintPreviews(picture, "after");
      if (picture.liveImage) this.paintImage(picture, picture.liveImage, whole(photo));
    }
    if (shown) this.paintSource(picture, shown, shown.width / photo.width);
  }

  /**
   * Paints the tiles of a source, of which `unit` pixels are one of the photo.
   * @param {Picture} picture
   * @param {Source} source
   * @param {number} unit
   */
  paintSource(picture, source, unit) {
    for (const { tile, image, since } of this.tilesToPaint(picture, source, unit)) {
      const area = /** @type {Rectangle} */ (tile.area.map((value) => value / unit));
      const age = performance.now() - since;
      const isOverview = tile.address === overviewOf(source).address;
      const fades = picture.canFade && !isOverview && age < FADE_MS;
      if (fades) this.isFading = true;
      this.context.globalAlpha = fades ? age / FADE_MS : 1;
      this.paintImage(picture, image, area, { isResult: source === picture.scene.result });
      this.context.globalAlpha = 1;
    }
  }

  /**
   * Returns the loaded tiles for the view. If those with the right resolution are complete, the
   * others would be covered.
   * @param {Picture} picture
   * @param {Source} source
   * @param {number} unit
   */
  tilesToPaint(picture, source, unit) {
    const { images, view, stage } = picture;
    const needed = neededTiles(source, unit, view, stage);
    const loaded = needed.map(({ address }) => images.get(address));
    const isReady = (one) => one !== null && performance.now() - one.since > FADE_MS;
    if (needed.length > 0 && loaded.every(isReady)) return loaded.filter((one) => one !== null);
    return images.tilesOf(source);
  }

  /**
   * @param {Picture} picture
   * @param {CanvasImageSource & { width: number }} image
   * @param {Rectangle} area of the photo
   * @param {{ isResult?: boolean }} [options] a result is enlarged without smoothing
   */
  paintImage(picture, image, area, { isResult = false } = {}) {
    const { view, stage, scene } = picture;
    const place = placeOnStage(view, stage, area);
    if (!touches(place, stage)) return;
    if (scene.hasAlpha) {
      this.context.fillStyle = this.checks;
      this.context.fillRect(...place);
    }
    const isEnlarged = place[2] > image.width;
    this.context.imageSmoothingEnabled = !(isResult && isEnlarged && stage.scale > 1);
    this.context.drawImage(image, ...place);
  }

  /**
   * Paints previews. If the newest one covers only a part of what is visible, the rest is darker.
   * @param {Picture} picture
   * @param {"before" | "after"} side
   */
  paintPreviews(picture, side) {
    const { previews, scene, stage } = picture;
    const newest = previews.at(-1);
    // During a run, those of its settings are a part of its result.
    const shown = scene.mode === "photo" ? previews : previews.filter(hasPixels(scene.pixels));
    for (const one of shown) {
      if (one === newest && picture.isMarked) this.darken(picture, DARK_OUTSIDE_PREVIEW);
      const area = areaOf(one.preview, stage.scale);
      this.paintImage(picture, one[side], area, { isResult: true });
    }
  }

  /**
   * Paints the part of a run that is done, and the rest darker.
   * @param {Picture} picture
   */
  paintRun(picture) {
    const { view, stage, scene } = picture;
    this.paintSource(picture, scene.photo, 1);
    this.paintPreviews(picture, "after");
    this.darken(picture, DARK_DURING_RUN);
    const { live } = scene;
    const image = picture.liveImage;
    if (!live || !image) return;
    const [left, top, width, height] = placeOnStage(view, stage, whole(scene.photo));
    const across = live.edge === "x" ? Math.round(width * live.share) : width;
    const down = live.edge === "y" ? Math.round(height * live.share) : height;
    this.inside([left, top, across, down], () => this.paintDone(picture, image));
    const thickness = Math.round(2 * stage.ratio);
    this.context.fillStyle = EDGE_COLOUR;
    if (live.edge === "x") this.context.fillRect(left + across, top, thickness, height);
    else this.context.fillRect(left, top + down, width, thickness);
  }

  /**
   * Paints the live image. It is small: when it would be blurred, the photo is the better image.
   * @param {Picture} picture
   * @param {HTMLImageElement} image
   */
  paintDone(picture, image) {
    const { photo } = picture.scene;
    const [, , width] = placeOnStage(picture.view, picture.stage, whole(photo));
    if (width <= LARGEST_BLUR * image.width) return this.paintImage(picture, image, whole(photo));
    this.paintSource(picture, photo, 1);
    this.paintPreviews(picture, "after");
  }

  /**
   * @param {Picture} picture
   * @param {string} colour
   */
  darken(picture, colour) {
    this.context.fillStyle = colour;
    const { view, stage, scene } = picture;
    this.context.fillRect(...placeOnStage(view, stage, whole(scene.photo)));
  }

  /** Paints the outline of the newest preview. @param {Picture} picture */
  paintOutline({ previews, view, stage }) {
    const newest = previews.at(-1);
    if (!newest) return;
    const place = placeOnStage(view, stage, areaOf(newest.preview, stage.scale));
    this.strokeAround(place, 1.5 * stage.ratio, LIGHT, 0);
    this.strokeAround(place, stage.ratio, DARK, 1.5 * stage.ratio);
  }

  /** Paints a frame around a point. @param {Picture} picture */
  paintFrame({ framed, view, stage }) {
    const [x, y] = framed ?? [0, 0];
    const half = FRAME_SIDE / 2;
    let [left, top, side] = placeOnStage(view, stage, [x - half, y - half, FRAME_SIDE, FRAME_SIDE]);
    const growth = Math.max(0, SMALLEST_FRAME * stage.ratio - side) / 2;
    const place = /** @type {Rectangle} */ ([
      left - growth,
      top - growth,
      side + 2 * growth,
      side + 2 * growth,
    ]);
    this.strokeAround(place, 2 * stage.ratio, "#fff", 0);
    this.strokeAround(place, 2 * stage.ratio, "#191d1c", 2 * stage.ratio);
  }

  /**
   * Strokes a line around a rectangle, at a distance from it.
   * @param {Rectangle} rectangle
   * @param {number} thickness
   * @param {string} colour
   * @param {number} distance
   */
  strokeAround(rectangle, thickness, colour, distance) {
    const [left, top, width, height] = rectangle;
    const out = distance + thickness / 2;
    this.context.strokeStyle = colour;
    this.context.lineWidth = thickness;
    this.context.strokeRect(left - out, top - out, width + 2 * out, height + 2 * out);
  }
}

/**
 * Returns the tiles of a source that the view needs, besides the one of the whole source.
 * @param {Source} source
 * @param {number} unit
 * @param {View} view
 * @param {Stage} stage
 */
export function neededTiles(source, unit, view, stage) {
  const visible = visibleRectangle(view, stage);
  const area = /** @type {Rectangle} */ (visible.map((value) => value * unit));
  return tilesOf(source, area, (view.zoom * stage.scale) / unit);
}

/**
 * Returns the area of a preview in pixels of the photo. The rectangle in pixels of the result is the
 * exact one, unless the result has another size meanwhile.
 * @param {Preview} preview
 * @param {number} scale
 * @returns {Rectangle}
 */
function areaOf(preview, scale) {
  const { window, region } = preview;
  const isSameSize = Math.abs(window[2] / region[2] / scale - 1) < SAME_SCALE;
  if (!isSameSize) return region;
  return /** @type {Rectangle} */ (window.map((value) => value / scale));
}

/** @param {string} pixels */
function hasPixels(pixels) {
  return (/** @type {ShownPreview} */ { preview }) => preview.pixels === pixels && !preview.isQuick;
}

/**
 * @param {Source} source
 * @returns {Rectangle}
 */
function whole({ width, height }) {
  return [0, 0, width, height];
}

/**
 * @param {Rectangle} place
 * @param {Stage} stage
 */
function touches([left, top, width, height], stage) {
  return left < stage.width && top < stage.height && left + width > 0 && top + height > 0;
}

/** The background of transparent images. */
function checkerboard() {
  const tile = document.createElement("canvas");
  tile.width = 2 * CHECK_SIDE;
  tile.height = 2 * CHECK_SIDE;
  const context = tile.getContext("2d");
  if (!context) return tile;
  context.fillStyle = "#fff";
  context.fillRect(0, 0, tile.width, tile.height);
  context.fillStyle = "#d9d9d9";
  context.fillRect(0, 0, CHECK_SIDE, CHECK_SIDE);
  context.fillRect(CHECK_SIDE, CHECK_SIDE, CHECK_SIDE, CHECK_SIDE);
  return tile;
}
