// The view of a photo: at first, after a change of its size, and on its return.
import assert from "node:assert/strict";
import { test } from "node:test";
import { PhotoView } from "../../enhance/web/page/scripts/photo_view.js";
import { zoomAt } from "../../enhance/web/page/scripts/viewport.js";

const stage = { width: 928, height: 672, ratio: 1, photo: [6000, 4000], scale: 2 };
const start = { focus: [0.5, 0.25], rectangle: null };

function openPhoto(options = start) {
  const photoView = new PhotoView();
  photoView.show("a", stage, options);
  return photoView;
}

const centre = ({ current }) => [current.view.x, current.view.y, current.view.zoom];

test("a photo opens at its focus, and at what was visible before a reload", () => {
  assert.deepEqual(centre(openPhoto()), [3000, 1000, 1]);
  const rectangle = [100, 200, 464, 336];
  assert.deepEqual(centre(openPhoto({ ...start, rectangle })), [332, 368, 1]);
});

test("a photo returns with its own view", () => {
  const photoView = openPhoto();
  photoView.moveTo({ ...photoView.current.view, x: 2000 }, false);
  photoView.leave();
  photoView.show("b", stage, { ...start, rectangle: [0, 0, 10, 10] });
  assert.deepEqual(centre(photoView), [3000, 1000, 1], "the rectangle is that of a photo before");
  photoView.leave();
  photoView.show("a", stage, start);
  assert.deepEqual(centre(photoView), [2000, 1000, 1]);
});

test("the view changes only with the size of the stage or the result", () => {
  const photoView = openPhoto();
  assert.equal(photoView.show("a", { ...stage }, start), false);
  assert.equal(photoView.show("a", { ...stage, scale: 4 }, start), true);
  assert.deepEqual(centre(photoView), [3000, 1000, 1]);
});

test("a view at Fit leads back to the last place", () => {
  const photoView = openPhoto();
  photoView.moveTo({ x: 2000, y: 1500, zoom: 1, isFitted: false }, false);
  photoView.moveTo(zoomAt(photoView.current.view, stage, 0), false);
  assert.ok(photoView.isWhole);
  assert.deepEqual(photoView.current.place, [2000, 1500]);
});

test("a view that is too large for a preview is one of a result larger than the photo", () => {
  const photoView = openPhoto();
  assert.ok(!photoView.isTooLarge);
  photoView.moveTo(zoomAt(photoView.current.view, stage, 0.4), false);
  assert.ok(photoView.isTooLarge);
  photoView.show("a", { ...stage, scale: 0.5 }, start);
  assert.ok(!photoView.isTooLarge);
});

test("a movement shows the views in between", (context) => {
  let time = 0;
  context.mock.method(performance, "now", () => time);
  const photoView = openPhoto();
  photoView.moveTo({ x: 2000, y: 1000, zoom: 1, isFitted: false }, true);
  time = 75;
  assert.ok(photoView.ease());
  assert.ok(photoView.current.shown.x < 3000 && photoView.current.shown.x > 2000);
  time = 200;
  assert.ok(!photoView.ease());
  assert.equal(photoView.current.shown, photoView.current.view);
});
