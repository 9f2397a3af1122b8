// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { ImageCache, overviewOf, tilesOf } from "../../enhance/web/page/scripts/tiles.js";

const source = { address: "regions/a", width: 6000, height: 4000 };
const SIDE = 100;

/** Loads images when a test says so. */
function createLoader() {
  /** @type {{ address: string, finish: () => void, fail: () => void }[]} */
  const open = [];
  const load = (address) =>
    new Promise((resolve, reject) => {
      const finish = () => resolve({ width: SIDE, height: SIDE });
      open.push({ address, finish, fail: () => reject(new Error("not found")) });
    });
  return { open, load };
}

const tileAt = (address) => ({ address, area: [0, 0, 1, 1], step: 1 });
const soon = () => new Promise((resolve) => setTimeout(resolve));

test("the tile of a whole source has a step that is a power of two", () => {
  const address = "regions/a?left=0&top=0&width=6000&height=4000&step=8";
  assert.deepEqual(overviewOf(source), { address, area: [0, 0, 6000, 4000], step: 8 });
});

test("the tiles of a view lie on a grid and end at the edge of the source", () => {
  const tiles = tilesOf(source, [5000, 900, 1000, 300], 1);
  const areas = tiles.map(({ area }) => area);
  assert.deepEqual(areas, [
    [4096, 0, 1024, 1024],
    [5120, 0, 880, 1024],
    [4096, 1024, 1024, 1024],
    [5120, 1024, 880, 1024],
  ]);
});

test("tiles are at least as sharp as the screen", () => {
  assert.equal(tilesOf(source, [0, 0, 4000, 3000], 0.3)[0].step, 2);
  assert.equal(tilesOf(source, [0, 0, 400, 300], 3)[0].step, 1);
});

test("a view for which the whole source is sharp enough needs no other tile", () => {
  assert.deepEqual(tilesOf(source, [0, 0, 6000, 4000], 0.12), []);
});

test("two tiles load at a time, and only what is needed", async () => {
  const { open, load } = createLoader();
  const cache = new ImageCache(() => {}, load);
  cache.need(["a", "b", "c"].map(tileAt));
  assert.deepEqual(
    open.map(({ address }) => address),
    ["a", "b"],
  );
  cache.need(["a", "d"].map(tileAt));
  open[0].finish();
  await soon();
  assert.deepEqual(
    open.map(({ address }) => address),
    ["a", "b", "d"],
  );
  cache.need(["a"].map(tileAt));
  assert.equal(open.length, 3);
  assert.ok(cache.get("a"));
  assert.ok(!cache.isLoading);
});

test("a tile that has failed loads again later", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { open, load } = createLoader();
  const cache = new ImageCache(() => {}, load);
  cache.need([tileAt("a"), tileAt("b"), tileAt("c")]);
  open[0].fail();
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
  assert.deepEqual(
    open.map(({ address }) => address),
    ["a", "b", "c"],
  );
  open[1].finish();
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
  context.mock.timers.tick(2000);
  assert.deepEqual(
    open.map(({ address }) => address),
    ["a", "b", "c", "a"],
  );
});

test("the images that were used last stay, and those that are needed", async () => {
  const load = async () => ({ width: 4000, height: 4000 });
  const cache = new ImageCache(() => {}, /** @type {any} */ (load));
  for (const name of ["a", "b", "c", "d", "e"]) {
    cache.need([tileAt("a"), tileAt(name)]);
    await soon();
  }
  assert.ok(cache.get("a"));
  assert.ok(!cache.get("b"));
  assert.ok(cache.get("e"));
  assert.equal(cache.size, 3);
});
