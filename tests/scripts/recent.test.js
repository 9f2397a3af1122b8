// The list of recent results and the comparison of presets, with a server that answers late.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { pass, server, settle } from "./browser.js";

const folder = "../../enhance/web/page/scripts";
const { change, runBatch, state, stop } = await import(`${folder}/store.js`);
const { newState } = await import(`${folder}/state.js`);
const recent = await import(`${folder}/recent_results.js`);
const previews = await import(`${folder}/comparison_previews.js`);

beforeEach(async () => {
  stop(
    "recent",
    "recentOpen",
    "recentDownload",
    "run",
    "photo",
    "preview",
    "comparison",
    "batch",
    "archive",
    "plan",
  );
  await pass(1000);
  change(newState());
  await pass(1000);
  server.clear();
});

function entry(id, values) {
  const settings = { preset: "gentle", scale: 2, strength: 0.3, sharpen: 0.5, reduce: null };
  const image = { path: `/photos/${id}`, orig_name: `${id}.png` };
  return { id, name: `${id}.png`, state: "done", settings, image, ...values };
}

const ids = () => recent.listed(state)?.map((one) => one.id);

test("a removed entry does not appear again in an earlier answer", async () => {
  change({ recent: [entry("first"), entry("second")] });
  recent.loadRecent();
  await settle();
  recent.forget("first");
  await settle();
  assert.deepEqual(ids(), ["second"]);
  await server.last("runs").answer([entry("first"), entry("second")]);
  assert.deepEqual(ids(), ["second"]);
  await server.last("forget").answer(["first"]);
  await server.last("runs").answer([entry("second")]);
  assert.deepEqual(ids(), ["second"]);
});

test("an entry that cannot be removed comes back with the reason", async () => {
  change({ recent: [entry("first")] });
  recent.forget("first");
  await settle();
  await server.last("forget").refuse("It runs.");
  assert.deepEqual(ids(), ["first"]);
  assert.equal(state.recentProblem, "It runs.");
});

test("opening a result sets its photo, its settings and its job", async () => {
  const presets = [{ name: "gentle", settings: { strength: 0.3, sharpen: 0.1 } }];
  change({ presets, isRecentOpen: true, changed: { denoise: 1 } });
  recent.openRecent("first");
  await settle();
  assert.deepEqual(server.last("runs").given, { id: "first" });
  const encoding = { format: "webp", quality: 80, metadata: "none" };
  await server.last("runs").answer([entry("first", { encoding })]);
  assert.equal(state.file.path, "/photos/first");
  assert.deepEqual(state.encoding, { ...newState().encoding, ...encoding });
  assert.deepEqual([state.preset, state.size.kind], ["gentle", "2x"]);
  assert.deepEqual(state.changed, { sharpen: 0.5 });
  assert.equal(state.isRecentOpen, false);
  await settle();
  const { given } = server.last("enhance");
  assert.deepEqual([given.job, given.format], ["first", "webp"]);
});

test("a result is downloaded in its own format", async () => {
  change({ recent: [entry("first", { encoding: { format: "webp" } })] });
  recent.downloadRecent("first");
  await settle();
  assert.deepEqual(server.last("export").given, { id: "first", format: "webp" });
});

test("opening a result on a new page loads the presets first", async () => {
  recent.openRecent("first");
  await settle();
  await server.last("runs").answer([entry("first")]);
  const presets = [{ name: "gentle", settings: { strength: 0.3, sharpen: 0.1 } }];
  await server.last("presets").answer(presets);
  assert.deepEqual(state.changed, { sharpen: 0.5 });
});

test("opening a batch ends the view of another one that runs", async () => {
  const file = { id: "a", name: "a.png", bytes: 1, path: "/a", blob: null, upload: null };
  change({ tab: "batch", presets: [{ name: "gentle", settings: {} }] });
  change({ plans: { "/a": { settings: {}, photo: {} } } });
  change({ batch: { ...newState().batch, files: [file] } });
  runBatch();
  await settle();
  const running = server.last("batch");
  const files = [entry("second.1")];
  recent.openRecent("second");
  await settle();
  await server.last("runs").answer([entry("second", { files })]);
  const progress = { share: 0.5, seconds_left: 1, ahead: 0, files: [] };
  await running.update(null, { progress });
  assert.equal(running.isAborted, true);
  assert.equal(state.batch.job.name, "second");
  assert.equal(state.batch.progress, null);
});

test("a file that was refused before the run leaves a gap in the numbers of a batch", async () => {
  change({ presets: [{ name: "gentle", settings: {} }] });
  recent.openRecent("third");
  await settle();
  const files = [entry("third.2", { number: 2 }), entry("third.3", { number: 3 })];
  await server.last("runs").answer([entry("third", { files })]);
  const done = (number) => {
    const info = { output: { bytes: 9 } };
    return { number, name: `${number}`, state: "done", error: null, info };
  };
  await server.last("export").answer({ path: "/zip" }, { done: 2, files: [done(2), done(3)] });
  assert.equal(state.results["/photos/third.2"].entry, "third.2");
  assert.equal(state.results["/photos/third.3"].entry, "third.3");
  const [first] = state.batch.files;
  assert.equal(state.batch.progress.files[first.id].number, 2);
});

test("opening a failed result does not start it again", async () => {
  change({ presets: [{ name: "gentle", settings: {} }] });
  recent.openRecent("first");
  await settle();
  await server.last("runs").answer([entry("first", { state: "failed" })]);
  await settle();
  assert.equal(state.file.name, "first.png");
  assert.equal(server.last("enhance"), undefined);
});

function compare() {
  const auto = { preset: "fast", analysis: { kind: "photo" } };
  const presets = { fast: { estimated_seconds: 10 }, gentle: { estimated_seconds: 90 } };
  const size = { width: 400, height: 300 };
  const file = { id: "a", name: "cat.jpg", bytes: 1, path: "/cat", blob: null, upload: null };
  const plan = { auto, presets, photo: size, tips: [], settings: {} };
  const known = ["fast", "gentle"].map((name) => ({ name, available: true, own: false }));
  change({ file, plans: { "/cat": plan }, presets: known, isComparing: true });
  change({ comparison: previews.comparisonOf(state, [10, 20, 128, 128]) });
}

test("presets are compared one after the other, the quickest first, and only once", async () => {
  compare();
  previews.requestNext();
  await settle();
  previews.requestNext();
  await settle();
  assert.equal(server.open("preview").length, 1);
  const { given } = server.last("preview");
  assert.deepEqual([given.preset, given.x, given.y, given.size], ["auto", 74, 84, 128]);
  await server.last("preview").answer({ path: "/before" }, { path: "/after" }, {});
  previews.requestNext();
  await settle();
  assert.equal(server.last("preview").given.preset, "gentle");
  await server.last("preview").refuse("Too large.");
  await settle();
  const made = previews.tilesOf(state).map((tile) => tile.made);
  assert.deepEqual(made[1], { problem: "Too large." });
  previews.requestNext();
  await settle();
  assert.equal(server.calls.filter((call) => call.name === "preview").length, 2);
  assert.equal(previews.comparisonOf(state, [10, 20, 128, 128]), state.comparison);
});
