// The previews on the stage: they stay until the next one is loaded.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ShownImages } from "../../enhance/web/page/scripts/shown_images.js";

const VISIBLE = [0, 0, 100, 100];

/** Images of a stage, of which those with these addresses are loaded. */
function imagesWith(...loaded) {
  const images = new ShownImages(() => {});
  images.cache.get = (address) => (loaded.includes(address) ? { image: address } : null);
  images.finish = (address) => loaded.push(address);
  return images;
}

function sceneWith(after, options = {}) {
  const preview = { before: "b", after, region: VISIBLE, pixels: "l", isQuick: false, ...options };
  return { mode: "photo", preview, live: null };
}

const shown = (images) => images.previews.map(({ preview }) => preview.after);

test("a preview is shown once both of its images are loaded", () => {
  const images = imagesWith("1");
  images.take(sceneWith("1"), VISIBLE);
  assert.deepEqual(shown(images), []);
  images.finish("b");
  images.take(sceneWith("1"), VISIBLE);
  images.take(sceneWith("2"), VISIBLE);
  assert.deepEqual(shown(images), ["1"]);
});

test("previews of the same settings stay, those of others and quick ones do not", () => {
  const images = imagesWith("b", "1", "2", "3", "4");
  images.take(sceneWith("1"), VISIBLE);
  images.take(sceneWith("2"), VISIBLE);
  assert.deepEqual(shown(images), ["1", "2"]);
  images.take(sceneWith("3", { pixels: "m", isQuick: true }), VISIBLE);
  assert.deepEqual(shown(images), ["1", "2", "3"]);
  images.take(sceneWith("4", { pixels: "m" }), VISIBLE);
  assert.deepEqual(shown(images), ["4"]);
});

test("a preview of a part of the visible area is partial", () => {
  const images = imagesWith("b", "1", "2");
  images.take(sceneWith("1"), VISIBLE);
  assert.ok(!images.newest.isPartial);
  images.take(sceneWith("2", { region: [20, 20, 60, 60] }), VISIBLE);
  assert.ok(images.newest.isPartial);
});

test("the last live image stays until there is a result", () => {
  const images = imagesWith("live");
  const live = { address: "live", share: 0.5, edge: "y" };
  images.take({ mode: "live", preview: null, live }, null);
  images.take({ mode: "result", preview: null, live: null }, null);
  assert.equal(images.live, "live");
  images.take({ mode: "photo", preview: null, live: null }, null);
  assert.equal(images.live, null);
});
