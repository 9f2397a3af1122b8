// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import * as viewport from "../../enhance/web/page/scripts/viewport.js";

/** A stage of 928 x 672 pixels with a photo of 24 megapixels, enlarged twice. */
const stage = { width: 928, height: 672, ratio: 1, photo: [6000, 4000], scale: 2 };
const focus = [0.5, 0.25];

test("a photo opens at its focus at 1:1 of the result", () => {
  const view = viewport.openingView(stage, focus);
  assert.deepEqual([view.x, view.y, view.zoom, view.isFitted], [3000, 1000, 1, false]);
  assert.deepEqual(viewport.visibleRectangle(view, stage), [2768, 832, 464, 336]);
});

test("a small photo opens at twice the size of its result", () => {
  const small = { ...stage, photo: [100, 100], scale: 2 };
  assert.equal(viewport.openingView(small, focus).zoom, 2);
});

test("a whole photo leaves the margins free", () => {
  const view = viewport.fit(stage);
  const [left, top, width, height] = viewport.placeOnStage(view, stage, [0, 0, 6000, 4000]);
  assert.ok(top >= 15 && 672 - top - height >= 75, "16 above and 76 below");
  assert.ok(Math.abs(left - (928 - left - width)) <= 1, "centred");
  assert.ok(viewport.isWhole(view, stage));
});

test("zooming keeps the point under the pointer", () => {
  const view = viewport.openingView(stage, focus);
  const point = [100, 500];
  const before = viewport.zoomAt(view, stage, 1, point);
  const after = viewport.zoomAt(view, stage, 0.7, point);
  const photoPoint = [
    before.x + (point[0] - 464) / (before.zoom * 2),
    before.y + (point[1] - 336) / (before.zoom * 2),
  ];
  const [x, y] = viewport.toStage(after, stage, photoPoint[0], photoPoint[1]);
  assert.ok(Math.abs(x - 100) < 1e-6 && Math.abs(y - 500) < 1e-6);
});

test("zooming ends at Fit and at 4:1, and stops at 1:1", () => {
  const view = viewport.openingView(stage, focus);
  assert.ok(viewport.zoomAt(view, stage, 0.0001).isFitted);
  assert.equal(viewport.zoomAt(view, stage, 100).zoom, 4);
  assert.equal(viewport.zoomAt(view, stage, 1.01).zoom, 1);
});

test("panning stops at the edges of the photo", () => {
  const view = viewport.panBy(viewport.openingView(stage, focus), stage, 1e6, 1e6);
  assert.deepEqual(viewport.visibleRectangle(view, stage), [0, 0, 464, 336]);
});

test("another output size keeps the place: Fit stays Fit, 1:1 stays 1:1", () => {
  const larger = { ...stage, scale: 4 };
  const actual = viewport.openingView(stage, focus);
  assert.deepEqual(viewport.adapt(actual, stage, larger), actual);
  const fitted = viewport.adapt(viewport.fit(stage), stage, larger);
  assert.deepEqual(fitted, viewport.fit(larger));
  const other = viewport.zoomAt(actual, stage, 0.5);
  const adapted = viewport.adapt(other, stage, larger);
  assert.deepEqual(
    viewport.visibleRectangle(adapted, larger),
    viewport.visibleRectangle(other, stage),
  );
});

test("a stage of another size keeps Fit, and the centre at any other zoom", () => {
  const narrow = { ...stage, width: 390 };
  assert.ok(viewport.isWhole(viewport.adapt(viewport.fit(stage), stage, narrow), narrow));
  const view = viewport.adapt(viewport.openingView(stage, focus), stage, narrow);
  assert.deepEqual([view.x, view.y, view.zoom], [3000, 1000, 1]);
});

test("rectangles that touch on the photo touch on the stage", () => {
  const view = { x: 3000.3, y: 1000.7, zoom: 0.317, isFitted: false };
  const first = viewport.placeOnStage(view, stage, [2900, 950, 101, 50]);
  const second = viewport.placeOnStage(view, stage, [3001, 950, 99, 50]);
  assert.equal(first[0] + first[2], second[0]);
});

test("a pixel of the result is a device pixel at 1:1", () => {
  const view = { x: 3000.3, y: 1000.7, zoom: 1, isFitted: false };
  const [, , width, height] = viewport.placeOnStage(view, stage, [2900.5, 950, 101, 50.5]);
  assert.deepEqual([width, height], [202, 101]);
});

test("a stage that shows fewer pixels than the photo has is known", () => {
  const view = viewport.openingView(stage, focus);
  assert.ok(!viewport.hidesPhotoPixels({ ...view, zoom: 0.5 }, stage));
  assert.ok(viewport.hidesPhotoPixels({ ...view, zoom: 0.49 }, stage));
});

test("a rectangle contains another one but for a pixel by rounding", () => {
  assert.ok(viewport.contains([10, 10, 100, 100], [9, 10, 101, 101]));
  assert.ok(!viewport.contains([10, 10, 100, 100], [8, 10, 50, 50]));
});

test("a square around a point lies inside the photo", () => {
  assert.deepEqual(viewport.squareAround([6000, 4000], [3000, 10], 128), [2936, 0, 128, 128]);
  assert.deepEqual(viewport.squareAround([60, 4000], [30, 3990], 128), [0, 3872, 60, 128]);
});

test("a movement changes the zoom by a constant factor", () => {
  const from = { x: 0, y: 0, zoom: 1, isFitted: false };
  const to = { x: 100, y: 50, zoom: 4, isFitted: true };
  assert.deepEqual(viewport.between(from, to, 0.5), { x: 50, y: 25, zoom: 2, isFitted: true });
  assert.equal(viewport.between(from, to, 1), to);
});

test("a rectangle of the photo becomes a view again", () => {
  const view = viewport.openingView(stage, focus);
  const again = viewport.viewOf(stage, viewport.visibleRectangle(view, stage));
  assert.deepEqual([again.x, again.y, again.zoom], [view.x, view.y, 1]);
  assert.deepEqual(viewport.viewOf(stage, [0, 0, 6000, 4000]), viewport.fit(stage));
});
