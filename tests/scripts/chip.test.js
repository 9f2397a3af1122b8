// What the chip says of the preview, a run and the result.
import assert from "node:assert/strict";
import { test } from "node:test";
import "./browser.js";

const folder = "../../enhance/web/page/scripts";
const { chipOf, previewSeconds } = await import(`${folder}/chip.js`);
const { sceneOf } = await import(`${folder}/scene.js`);
const { pixelsKey, newState, planKey, previewKey, settingsOf } = await import(`${folder}/state.js`);

const EVERYTHING = { isMarked: false, isTooLarge: false, isNarrow: false };

/** A page with a photo of 200 x 100 pixels, of which 100 x 100 are visible. */
function pageWithPhoto() {
  const state = newState();
  const photo = {
    address: "regions/a",
    width: 200,
    height: 100,
    focus: [0.5, 0.5],
    has_alpha: false,
  };
  const settings = { preset: "gentle" };
  const auto = { preset: "gentle" };
  state.file = { id: "1", name: "a.jpg", bytes: 1, path: "/a", blob: null, upload: null };
  state.plans = {
    "/a": { for: "", auto, photo, settings, result: { width: 800, height: 400 }, problem: null },
  };
  state.region = [0, 0, 100, 100];
  return state;
}

function addPreview(state, isQuick = false) {
  const area = { region: [0, 0, 100, 100], window: [0, 0, 400, 400] };
  const keys = { for: previewKey(state), pixels: pixelsKey(state), file: "/a" };
  state.preview = { ...keys, ...area, before: "b", after: "a", signature: "s", isQuick };
}

function addResult(state) {
  const output = { width: 800, height: 400 };
  const info = { output, signature: "s" };
  state.results = { "/a": { file: "/a", settings: settingsOf(state), info, address: "regions/r" } };
}

const signs = (state, look = EVERYTHING) => {
  const { name, sign, text } = chipOf(state, look);
  return [name, sign, text];
};

test("a preview is made, matches, and is that of earlier settings", () => {
  const state = pageWithPhoto();
  assert.deepEqual(signs(state), ["waiting", "ring", "chip_running"]);
  addPreview(state, true);
  assert.deepEqual(signs(state), ["quick", "ring", "chip_quick"]);
  addPreview(state);
  assert.deepEqual(signs(state), ["matches", "matches", "chip_matches"]);
  state.changed = { strength: 0.5 };
  assert.deepEqual(signs(state), ["outdated", "outdated", "chip_outdated"]);
});

test("a preview of a part of the visible area says so", () => {
  const state = pageWithPhoto();
  addPreview(state);
  const marked = { ...EVERYTHING, isMarked: true };
  assert.deepEqual(signs(state, marked), ["matches", "matches", "chip_marked"]);
  assert.equal(signs(state, { ...marked, isNarrow: true })[2], "chip_marked_short");
});

test("an area that is too large has a hint, or the result of earlier settings", () => {
  const state = pageWithPhoto();
  state.region = null;
  const large = { ...EVERYTHING, isTooLarge: true };
  assert.deepEqual(signs(state, large), ["none", "none", "zoom_for_preview"]);
  addResult(state);
  state.changed = { strength: 0.5 };
  assert.deepEqual(signs(state, large), ["outdated", "outdated", "chip_result_earlier"]);
});

test("an error is in words, and a server that does not answer is waited for", () => {
  const state = pageWithPhoto();
  state.isOffline = true;
  assert.deepEqual(signs(state), ["waiting", "ring", "chip_offline"]);
  state.previewProblem = { for: previewKey(state), text: "No memory." };
  assert.deepEqual(signs(state), ["failed", "failed", "No memory."]);
});

test("refused settings are those of the panel, so the chip has no error", () => {
  const state = pageWithPhoto();
  addPreview(state);
  state.size = { ...state.size, kind: "custom", by: "long_side", long_side: 90000 };
  state.previewProblem = { for: previewKey(state), text: "long_side 90000 is too large." };
  assert.deepEqual(signs(state)[0], "failed");
  state.plans["/a"] = {
    ...state.plans["/a"],
    for: planKey(state),
    problem: { text: "Too large." },
  };
  assert.deepEqual(signs(state), ["outdated", "outdated", "chip_outdated"]);
});

test("a run has the name of its own preset, also when another one is chosen", () => {
  const state = pageWithPhoto();
  state.run = {
    name: "job",
    file: "/a",
    settings: settingsOf(state),
    encoding: state.encoding,
    plan: null,
  };
  state.run.plan = state.plans["/a"];
  state.preset = "fast";
  const { name, sign } = chipOf(state, EVERYTHING);
  assert.deepEqual([name, sign], ["live", "ring"]);
  state.run = null;
});

test("the stage shows the size of the result, and during a run that of the run", () => {
  const state = pageWithPhoto();
  assert.equal(sceneOf(state).scale, 4);
  const plan = state.plans["/a"];
  state.run = { name: "job", file: "/a", settings: {}, encoding: state.encoding, plan };
  state.plans = { "/a": { ...plan, result: { width: 400, height: 200 } } };
  assert.deepEqual([sceneOf(state).mode, sceneOf(state).scale], ["live", 4]);
  state.run = null;
  assert.deepEqual([sceneOf(state).mode, sceneOf(state).scale], ["photo", 2]);
  addResult(state);
  assert.deepEqual([sceneOf(state).mode, sceneOf(state).scale], ["result", 4]);
});

test("without a photo there is nothing on the stage", () => {
  assert.equal(sceneOf(newState()), null);
});

test("the expected time of a preview follows from that of the run", () => {
  const state = pageWithPhoto();
  assert.equal(previewSeconds(state), 0);
  const plan = { ...state.plans["/a"], for: planKey(state), estimated_seconds: 2 };
  plan.photo = { ...plan.photo, width: 2000, height: 1000 };
  state.plans = { "/a": plan };
  assert.equal(previewSeconds(state).toFixed(4), ((2 * 196 * 196) / 2e6).toFixed(4));
  state.plans = { "/a": { ...plan, estimated_seconds: 5000 } };
  assert.equal(previewSeconds(state), 8, "the server previews the middle of what takes longer");
});
