// @ts-check
// The geometry of the stage: which part of a photo is visible, and at what zoom. It has no DOM.

/**
 * What the user sees of a photo: `x` and `y` are the centre in pixels of the photo, `zoom` is the
 * number of device pixels for a pixel of the result. While `isFitted`, the whole photo stays visible
 * when the stage or the result changes its size.
 * @typedef {{ x: number, y: number, zoom: number, isFitted: boolean }} View
 */

/**
 * The stage: `width` and `height` in device pixels, `ratio` of them for a CSS pixel, the size of the
 * `photo`, and `scale`, the number of pixels of the result for a pixel of the photo.
 * @typedef {{
 *   width: number, height: number, ratio: number, photo: [number, number], scale: number,
 * }} Stage
 */

/** @typedef {import("./state.js").Rectangle} Rectangle */

/** Space around a photo at Fit, in CSS pixels. The controls lie in the space below. */
export const MARGIN = 16;
const MARGIN_BELOW = 76;

const LARGEST_ZOOM = 4;
const SMALLEST_ZOOM = 0.001;
const SLACK = 1.001;
/** A zoom this close to 1:1, as a share, becomes 1:1. */
const NEAR_ACTUAL = 0.02;
const LARGEST_OPENING_ZOOM = 2;

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 */
export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

/**
 * Returns the number of device pixels for a pixel of the photo.
 * @param {View} view
 * @param {Stage} stage
 */
function pixelsPerPhotoPixel(view, stage) {
  return view.zoom * stage.scale;
}

/**
 * Returns the zoom that shows the whole photo with margins.
 * @param {Stage} stage
 */
export function fitZoom(stage) {
  const across = stage.width - 2 * MARGIN * stage.ratio;
  const down = stage.height - (MARGIN + MARGIN_BELOW) * stage.ratio;
  const [width, height] = stage.photo;
  const zoom = Math.min(across / (width * stage.scale), down / (height * stage.scale));
  return clamp(zoom, SMALLEST_ZOOM, LARGEST_ZOOM);
}

/**
 * Returns whether the whole photo is visible.
 * @param {View} view
 * @param {Stage} stage
 */
export function isWhole(view, stage) {
  return view.zoom <= fitZoom(stage) * SLACK;
}

/**
 * Returns whether the stage shows fewer pixels than the photo has.
 * @param {View} view
 * @param {Stage} stage
 */
export function hidesPhotoPixels(view, stage) {
  return pixelsPerPhotoPixel(view, stage) < 1 / SLACK;
}

/**
 * Returns the view that shows the whole photo.
 * @param {Stage} stage
 * @returns {View}
 */
export function fit(stage) {
  const [width, height] = stage.photo;
  return clampView({ x: width / 2, y: height / 2, zoom: fitZoom(stage), isFitted: true }, stage);
}

/**
 * Returns the first view of a photo: its `focus` (shares of width and height) at 1:1 of the result.
 * A small photo is shown at up to twice that.
 * @param {Stage} stage
 * @param {[number, number]} focus
 * @returns {View}
 */
export function openingView(stage, focus) {
  const [width, height] = stage.photo;
  const zoom = clamp(Math.floor(fitZoom(stage)), 1, LARGEST_OPENING_ZOOM);
  return clampView({ x: width * focus[0], y: height * focus[1], zoom, isFitted: false }, stage);
}

/**
 * Returns the view that shows a rectangle of the photo as large as possible.
 * @param {Stage} stage
 * @param {Rectangle} rectangle
 * @returns {View}
 */
export function viewOf(stage, rectangle) {
  const [left, top, width, height] = rectangle;
  if (width === stage.photo[0] && height === stage.photo[1]) return fit(stage);
  const fits = Math.min(stage.width / width, stage.height / height) / stage.scale;
  const start = { x: left + width / 2, y: top + height / 2, zoom: 1, isFitted: false };
  return zoomAt(start, stage, fits);
}

/**
 * Returns the view moved so that the photo stays on the stage: a side that is shorter than the stage
 * is centred, a longer one fills it.
 * @param {View} view
 * @param {Stage} stage
 * @returns {View}
 */
export function clampView(view, stage) {
  const density = pixelsPerPhotoPixel(view, stage);
  const shift = isWhole(view, stage) ? ((MARGIN_BELOW - MARGIN) / 2) * stage.ratio : 0;
  const [width, height] = stage.photo;
  return {
    ...view,
    x: clampCentre(view.x, width, stage.width, density, 0),
    y: clampCentre(view.y, height, stage.height, density, shift),
  };
}

/**
 * @param {number} centre
 * @param {number} side of the photo
 * @param {number} length of the stage
 * @param {number} density
 * @param {number} shift in device pixels, of a photo that is centred
 */
function clampCentre(centre, side, length, density, shift) {
  if (side * density <= length) return side / 2 + shift / density;
  const half = length / 2 / density;
  return clamp(centre, half, side - half);
}

/**
 * Returns the view at another zoom. The point of the photo at `point`, in device pixels of the
 * stage, stays where it is; by default this is the centre.
 * @param {View} view
 * @param {Stage} stage
 * @param {number} zoom
 * @param {[number, number]} [point]
 * @returns {View}
 */
export function zoomAt(view, stage, zoom, point) {
  const [left, top] = point ?? [stage.width / 2, stage.height / 2];
  const before = pixelsPerPhotoPixel(view, stage);
  const smallest = Math.min(fitZoom(stage), 1);
  let wanted = clamp(zoom, smallest, LARGEST_ZOOM);
  if (Math.abs(Math.log(wanted)) < NEAR_ACTUAL) wanted = 1;
  const after = wanted * stage.scale;
  const moved = {
    x: view.x + (left - stage.width / 2) * (1 / before - 1 / after),
    y: view.y + (top - stage.height / 2) * (1 / before - 1 / after),
    zoom: wanted,
    isFitted: wanted <= smallest * SLACK && smallest < 1,
  };
  return clampView(moved, stage);
}

/**
 * Returns the view after the photo was moved by device pixels.
 * @param {View} view
 * @param {Stage} stage
 * @param {number} right
 * @param {number} down
 */
export function panBy(view, stage, right, down) {
  const density = pixelsPerPhotoPixel(view, stage);
  return clampView({ ...view, x: view.x - right / density, y: view.y - down / density }, stage);
}

/**
 * Returns the view for a stage or a result of another size. Fit stays Fit, 1:1 stays 1:1 at the same
 * centre, and any other zoom keeps the visible area.
 * @param {View} view
 * @param {Stage} before
 * @param {Stage} after
 * @returns {View}
 */
export function adapt(view, before, after) {
  if (view.isFitted) return fit(after);
  if (before.scale === after.scale || view.zoom === 1) return clampView(view, after);
  const smallest = Math.min(fitZoom(after), 1);
  const zoom = clamp((view.zoom * before.scale) / after.scale, smallest, LARGEST_ZOOM);
  return clampView({ ...view, zoom }, after);
}

/**
 * Returns where a point of the photo is on the stage, in device pixels.
 * @param {View} view
 * @param {Stage} stage
 * @param {number} x
 * @param {number} y
 * @returns {[number, number]}
 */
export function toStage(view, stage, x, y) {
  const density = pixelsPerPhotoPixel(view, stage);
  return [stage.width / 2 + (x - view.x) * density, stage.height / 2 + (y - view.y) * density];
}

/**
 * Returns where a rectangle of the photo is on the stage, in whole device pixels. Rectangles that
 * touch on the photo touch on the stage.
 * @param {View} view
 * @param {Stage} stage
 * @param {Rectangle} rectangle
 * @returns {Rectangle}
 */
export function placeOnStage(view, stage, rectangle) {
  const density = pixelsPerPhotoPixel(view, stage);
  // The origin is rounded first, so that the pixels of an image at 1:1 are device pixels.
  const origin = toStage(view, stage, 0, 0).map(Math.round);
  const [left, top, width, height] = rectangle;
  const start = [origin[0] + Math.round(left * density), origin[1] + Math.round(top * density)];
  const end = [
    origin[0] + Math.round((left + width) * density),
    origin[1] + Math.round((top + height) * density),
  ];
  return [start[0], start[1], end[0] - start[0], end[1] - start[1]];
}

/**
 * Returns the visible rectangle of the photo, in its whole pixels.
 * @param {View} view
 * @param {Stage} stage
 * @returns {Rectangle}
 */
export function visibleRectangle(view, stage) {
  const density = pixelsPerPhotoPixel(view, stage);
  const [width, height] = stage.photo;
  const left = clamp(Math.round(view.x - stage.width / 2 / density), 0, width - 1);
  const top = clamp(Math.round(view.y - stage.height / 2 / density), 0, height - 1);
  const right = clamp(Math.round(view.x + stage.width / 2 / density), left + 1, width);
  const bottom = clamp(Math.round(view.y + stage.height / 2 / density), top + 1, height);
  return [left, top, right - left, bottom - top];
}

/**
 * Returns whether a rectangle contains another one. Their edges can differ by a pixel, which
 * rounding causes.
 * @param {Rectangle} outer
 * @param {Rectangle} inner
 */
export function contains(outer, inner) {
  const [left, top, width, height] = outer;
  return (
    left <= inner[0] + 1 &&
    top <= inner[1] + 1 &&
    left + width >= inner[0] + inner[2] - 1 &&
    top + height >= inner[1] + inner[3] - 1
  );
}

/**
 * Returns the rectangle of at most `side` pixels around a point, moved to lie inside the photo.
 * @param {[number, number]} photo its width and height
 * @param {[number, number]} centre
 * @param {number} side
 * @returns {Rectangle}
 */
export function squareAround(photo, centre, side) {
  const width = Math.min(side, photo[0]);
  const height = Math.min(side, photo[1]);
  const left = clamp(Math.round(centre[0] - width / 2), 0, photo[0] - width);
  const top = clamp(Math.round(centre[1] - height / 2), 0, photo[1] - height);
  return [left, top, width, height];
}

/**
 * Returns a view between two others. The zoom changes by a constant factor.
 * @param {View} from
 * @param {View} to
 * @param {number} share
 * @returns {View}
 */
export function between(from, to, share) {
  if (share >= 1) return to;
  return {
    x: from.x + (to.x - from.x) * share,
    y: from.y + (to.y - from.y) * share,
    zoom: from.zoom * (to.zoom / from.zoom) ** share,
    isFitted: to.isFitted,
  };
}
