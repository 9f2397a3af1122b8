// The state of the page, tested with a server that answers late, not at all, or with no.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { pass, server, settle, stored } from "./browser.js";

const folder = "../../enhance/web/page/scripts";
const store = await import(`${folder}/store.js`);
const { analyse } = await import(`${folder}/requests.js`);
const { call } = await import(`${folder}/client.js`);
const { save, restore } = await import(`${folder}/saved.js`);
const selectors = await import(`${folder}/state.js`);
const { fileText } = await import(`${folder}/facts.js`);
const { state, change, set } = store;

const SLOTS = ["upload", "photo", "preview", "run", "export", "files", "report", "recent"];
const REGION = [0, 0, 10, 10];

beforeEach(async () => {
  store.stop(...SLOTS);
  await pass(1000);
  change(selectors.newState());
  await pass(1000);
  server.clear();
});

/** The answer of /analyse, with a signature for each group of settings. */
function plan({ preset, scale, strength, reduce = 1 }, problem = null) {
  const signature = JSON.stringify([preset, scale, strength, reduce]);
  const settings = { preset: "gentle", strength: strength ?? 0.6, reduce };
  const size = { width: 1000 * (scale ?? 4), height: 1000 };
  const photo = { address: "photo", width: 1000, height: 250 };
  return { settings, signature, problem, photo, result: size, estimated_seconds: 1 };
}

async function answerPlan() {
  const call = server.last("analyse");
  await call.answer(plan(call.given));
}

const BOX = { left: 0, top: 0, width: 10, height: 10 };

async function answerPreview(isQuick = false) {
  const call = server.last("preview");
  const info = { preview: BOX, window: BOX, quick: isQuick, signature: "s" };
  const outputs = [{ path: "/before" }, { path: "/after" }, info];
  await (isQuick ? call.update(...outputs) : call.answer(...outputs));
}

async function answerRun(call = server.last("enhance")) {
  const { preset, scale, strength, reduce = 1 } = call.given;
  const signature = JSON.stringify([preset, scale, strength, reduce]);
  const info = { signature, output: { bytes: 1 }, regions: { result: "result" } };
  await call.answer({ path: `/results/${call.given.format}` }, info);
}

function photo(name = "cat.jpg") {
  return new File(["pixels"], name);
}

/** Chooses a photo, which arrives and is planned. */
async function openPhoto(name = "cat.jpg") {
  store.chooseFiles([photo(name)]);
  await settle();
  await server.uploads.at(-1).answer(`/uploads/${name}`);
  await answerPlan();
}

async function openPreviewed() {
  await openPhoto();
  store.setRegion(REGION);
  await pass(250);
  await answerPreview();
}

test("a chosen photo is sent, planned and previewed", async () => {
  store.chooseFiles([photo()]);
  await settle();
  server.uploads[0].share(0.5);
  assert.equal(state.file.upload.share, 0.5);
  assert.equal(selectors.stageMode(state), "empty");
  await server.uploads[0].answer("/uploads/cat.jpg");
  await answerPlan();
  assert.equal(selectors.stageMode(state), "photo");
  assert.ok(selectors.isPlanned(state) && selectors.canEnhance(state));
  store.setRegion(REGION);
  assert.equal(selectors.previewState(state), "waiting");
  await pass(250);
  await answerPreview(true);
  assert.equal(selectors.previewState(state), "quick");
  await answerPreview();
  assert.equal(selectors.previewState(state), "matches");
  assert.equal(server.calls.filter((call) => call.name === "preview").length, 1);
});

test("a slider makes the preview outdated at once, and is requested when it rests", async () => {
  await openPreviewed();
  set("strength", 0.1);
  assert.equal(selectors.previewState(state), "outdated");
  await pass(200);
  set("strength", 0.2);
  await pass(200);
  assert.equal(server.last("preview").given.strength, undefined);
  await pass(50);
  assert.equal(server.last("preview").given.strength, 0.2);
  assert.equal(selectors.previewState(state), "waiting");
  await answerPlan();
  await answerPreview();
  assert.equal(selectors.previewState(state), "matches");
  assert.ok(selectors.isPlanned(state));
});

test("the answer to an earlier request is never seen", async () => {
  await openPreviewed();
  set("strength", 0.1);
  await pass(250);
  const [late] = server.open("analyse").slice(-1);
  set("strength", 0.9);
  await pass(250);
  assert.ok(late.isAborted);
  await answerPlan();
  await late.answer(plan({ preset: "auto", strength: 0.1 }));
  assert.equal(selectors.currentPlan(state).settings.strength, 0.9);
  assert.ok(selectors.isPlanned(state));
});

test("a setting that returns needs no second request", async () => {
  await openPreviewed();
  const before = server.calls.length;
  set("strength", 0.1);
  store.resetTuning();
  await pass(1000);
  assert.equal(server.calls.length, before);
  assert.equal(selectors.previewState(state), "matches");
});

test("a failed preview is requested again by Retry or a change, and not before", async () => {
  await openPhoto();
  store.setRegion(REGION);
  await pass(250);
  await server.last("preview").refuse("Not enough memory.");
  assert.equal(selectors.previewState(state), "failed");
  assert.equal(state.previewProblem.text, "Not enough memory.");
  await pass(5000);
  assert.equal(server.open("preview").length, 1);
  store.retryPreview();
  await settle();
  await answerPreview();
  assert.equal(selectors.previewState(state), "matches");
});

test("a run has the settings of its start, and later changes are planned for the next one", async () => {
  await openPreviewed();
  store.run();
  await settle();
  const { name } = state.run;
  assert.match(name, /^[0-9a-f]{32}$/);
  await server.last("enhance").update(null, { progress: { done: 1, total: 4 } });
  assert.equal(state.progress.done, 1);
  assert.equal(selectors.stageMode(state), "live");
  set("strength", 0.3);
  await pass(250);
  await answerPlan();
  assert.ok(selectors.settingsDiffer(state));
  assert.equal(server.last("preview").given.strength, undefined);
  await answerRun();
  assert.equal(state.run, null);
  assert.equal(selectors.isResultCurrent(state), false);
  store.resetTuning();
  assert.equal(selectors.stageMode(state), "result");
  await pass(250);
  assert.equal(server.last("preview").given.strength, undefined);
});

test("another format of a finished run is the same job", async () => {
  await openPreviewed();
  store.run();
  await settle();
  await answerRun();
  set("format", "webp");
  assert.equal(selectors.stageMode(state), "result");
  const download = store.prepareDownload();
  const secondPress = store.prepareDownload();
  await settle();
  const [first, second] = server.calls.filter((call) => call.name === "enhance");
  assert.equal(first.given.job, second.given.job);
  assert.equal(second.given.format, "webp");
  await answerRun(second);
  assert.equal((await download).url, "gradio_api/file=/results/webp");
  assert.equal((await secondPress).url, "gradio_api/file=/results/webp");
});

test("another photo leaves the run alone, and Cancel cancels it", async () => {
  await openPreviewed();
  store.run();
  await settle();
  const job = state.run.name;
  await openPhoto("dog.jpg");
  assert.equal(state.run, null);
  assert.equal(server.last("cancel"), undefined);
  store.run();
  await settle();
  store.cancel();
  await settle();
  assert.notEqual(server.last("cancel").given.job, job);
  assert.equal(state.run, null);
});

test("a cancelled upload brings the photo and its run back", async () => {
  await openPreviewed();
  store.run();
  await settle();
  store.chooseFiles([photo("dog.jpg")]);
  await settle();
  assert.equal(selectors.isRunning(state), false);
  store.cancelUpload();
  assert.equal(server.uploads.at(-1).isAborted, true);
  assert.equal(state.file.name, "cat.jpg");
  assert.ok(selectors.isRunning(state));
});

test("a new photo does not have the reduction of the one before, even if it changes late", async () => {
  await openPreviewed();
  set("reduce", 2);
  set("strength", 0.3);
  store.chooseFiles([photo("dog.jpg")]);
  await settle();
  set("reduce", 3);
  await server.uploads.at(-1).answer("/uploads/dog.jpg");
  assert.deepEqual(state.changed, { strength: 0.3 });
  assert.equal(server.last("analyse").given.reduce, undefined);
});

test("a photo that cannot be opened gives way to the one before", async () => {
  await openPhoto();
  store.chooseFiles([photo("text.jpg")]);
  await settle();
  await server.uploads.at(-1).answer("/uploads/text.jpg");
  await server.last("analyse").refuse("text.jpg is not an image.");
  assert.equal(state.file.name, "cat.jpg");
  assert.equal(state.problem.text, "text.jpg is not an image.");
});

test("a lost connection is found after 3 s, and everything goes on when it is back", async () => {
  await openPreviewed();
  store.run();
  await settle();
  server.isAway = true;
  await server.last("enhance").lose();
  await pass(2900);
  assert.equal(state.isOffline, false);
  await pass(200);
  assert.equal(state.isOffline, true);
  assert.equal(selectors.isRunning(state), true);
  server.isAway = false;
  for (let second = 0; second < 6; second++) await pass(1000);
  assert.equal(state.isOffline, false);
  const [first, second] = server.calls.filter((call) => call.name === "enhance");
  assert.equal(first.given.job, second.given.job);
  await answerRun(second);
  assert.equal(selectors.stageMode(state), "result");
});

test("a lost connection is found although another request was answered in the meantime", async () => {
  store.chooseFiles([photo()]);
  await settle();
  await server.uploads[0].lose();
  const other = call("presets", {});
  await settle();
  await server.last("presets").answer([]);
  await other;
  for (let second = 0; second < 5; second++) {
    await pass(1000);
    await server.uploads.at(-1).lose();
  }
  assert.equal(state.isOffline, true);
});

test("a run that ends because the server is shut down goes on", async () => {
  await openPreviewed();
  store.run();
  await settle();
  await server.last("enhance").refuse("Processing was stopped.", "stopped");
  assert.ok(selectors.isRunning(state));
  await pass(1000);
  const [first, second] = server.calls.filter((call) => call.name === "enhance");
  assert.equal(first.given.job, second.given.job);
});

test("a run goes on with a server that was started again and does not know the call", async () => {
  await openPreviewed();
  server.refusedStreams = 2;
  store.run();
  for (let second = 0; second < 5; second++) await pass(1000);
  assert.equal(server.refusedStreams, 0);
  await answerRun();
  assert.equal(selectors.stageMode(state), "result");
});

test("a run whose event stream is always refused fails", async () => {
  await openPreviewed();
  server.refusedStreams = Infinity;
  store.run();
  for (let second = 0; second < 20; second++) await pass(1000);
  assert.equal(server.calls.filter((call) => call.name === "enhance").length, 3);
  assert.equal(state.run, null);
  assert.equal(state.problem.text, "Not found");
});

test("an upload that broke off is sent again", async () => {
  store.chooseFiles([photo()]);
  await settle();
  await server.uploads[0].lose();
  await pass(1000);
  assert.equal(server.uploads.length, 2);
  await server.uploads[1].answer("/uploads/cat.jpg");
  assert.equal(state.file.path, "/uploads/cat.jpg");
});

test("an upload that the server ends says how far it came", async () => {
  store.chooseFiles([photo()]);
  await settle();
  server.uploads[0].share(0.4);
  await server.uploads[0].refuse(413, "The server has no room.");
  assert.equal(state.file, null);
  assert.equal(state.problem.text, "upload_stopped");
});

test("a run that needs too much memory has a solution", async () => {
  await openPhoto();
  store.run();
  await settle();
  await server.last("enhance").refuse("Not enough memory.", "memory_short");
  const [solution] = state.problem.solutions;
  assert.deepEqual([state.problem.text, solution.values], ["Not enough memory.", { scale: 2 }]);
  store.applyValues(solution.values);
  await pass(300);
  await answerPlan();
  assert.equal(state.problem, null);
  store.run();
  await settle();
  await server.last("enhance").refuse("It failed.");
  assert.deepEqual(state.problem, { text: "It failed.", solutions: [] });
});

test("the file of a result is named once it exists in the chosen format", async () => {
  await openPhoto();
  store.run();
  await settle();
  await answerRun();
  assert.equal(fileText(state, selectors.resultOf(state)), "format_size");
  set("format", "webp");
  assert.equal(fileText(state, selectors.resultOf(state)), "WebP");
  store.prepareDownload();
  await settle();
  await answerRun();
  assert.equal(fileText(state, selectors.resultOf(state)), "format_size");
});

test("a photo that the server has lost is sent again once, with its run", async () => {
  await openPreviewed();
  store.run();
  await settle();
  const { name } = state.run;
  server.missing.add("/uploads/cat.jpg");
  await server.last("enhance").refuse("The image is missing.");
  assert.equal(server.uploads.length, 2);
  server.missing.clear();
  await server.uploads[1].answer("/uploads/cat.jpg");
  assert.equal(server.last("enhance").given.job, name);
  server.missing.add("/uploads/cat.jpg");
  await server.last("enhance").refuse("The image is missing.");
  assert.equal(state.file, null);
  assert.equal(state.problem.text, "file_lost");
});

test("a photo that the server has lost does not replace one that was chosen meanwhile", async () => {
  await openPhoto("cat.jpg");
  store.run();
  await settle();
  const chooseAnother = () => {
    store.chooseFiles([photo("dog.jpg")]);
    return true;
  };
  server.missing = /** @type {any} */ ({ has: chooseAnother });
  await server.last("enhance").refuse("The image is missing.");
  assert.equal(state.file.name, "dog.jpg");
  assert.equal(server.uploads.length, 2);
});

test("the problem of a photo does not appear when another one is on the stage", async () => {
  await openPreviewed();
  store.run();
  await settle();
  await answerRun();
  set("format", "webp");
  store.prepareDownload();
  await settle();
  const chooseAnother = () => {
    store.chooseFiles([photo("dog.jpg")]);
    return false;
  };
  server.missing = /** @type {any} */ ({ has: chooseAnother });
  await server.last("enhance").refuse("There is no room.");
  assert.equal(state.file.name, "dog.jpg");
  assert.equal(state.problem, null);
});

test("an error of the page itself has a sentence for the user", async (context) => {
  const logged = context.mock.method(console, "error", () => {});
  await openPreviewed();
  store.run();
  await settle();
  await server.last("enhance").answer({ path: "/results/a" }, null);
  assert.equal(state.problem.text, "request_failed");
  assert.ok(logged.mock.calls[0].arguments[0] instanceof TypeError);
});

test("a request that waits for a busy server can end", async () => {
  await openPhoto();
  let isEnded = false;
  analyse(state.file, state.file.path).then(() => (isEnded = true));
  await settle();
  await server.last("analyse").refuse("The queue is full.", "queue_full");
  assert.equal(isEnded, false);
  store.stop("photo");
  await settle();
  assert.equal(isEnded, true);
});

function reload() {
  save();
  store.stop(...SLOTS);
  change(selectors.newState());
  performance.getEntriesByType = () => [{ type: "reload" }];
  restore();
}

test("a reload during a run follows the same job", async () => {
  await openPreviewed();
  set("strength", 0.3);
  store.run();
  await settle();
  const { name } = state.run;
  reload();
  await settle();
  assert.equal(server.last("enhance").given.job, name);
  assert.equal(selectors.stageMode(state), "live");
  assert.equal(state.changed.strength, 0.3);
  await answerPlan();
  await answerRun();
  assert.equal(selectors.stageMode(state), "result");
});

test("a reload shows the result, which is gone if the server does not have it any more", async () => {
  await openPreviewed();
  store.run();
  await settle();
  await answerRun();
  reload();
  assert.equal(selectors.stageMode(state), "result");
  await settle();
  await server.last("enhance").refuse("The result is no longer stored.");
  assert.equal(selectors.stageMode(state), "photo");
});

test("a reload during an upload says that it has ended", async () => {
  store.chooseFiles([photo()]);
  await settle();
  reload();
  assert.equal(state.file, null);
  assert.equal(state.problem.text, "upload_ended");
});

test("the next visit has the choices, but neither the photo nor its reduction", async () => {
  await openPreviewed();
  set("preset", "fast");
  set("reduce", 2);
  set("strength", 0.3);
  save();
  change(selectors.newState());
  performance.getEntriesByType = () => [{ type: "navigate" }];
  restore();
  assert.equal(state.file, null);
  assert.equal(state.preset, "fast");
  assert.deepEqual(state.changed, { strength: 0.3 });
});

test("a link replaces the choices of the last visit", () => {
  stored.local.set("enhance-choices", JSON.stringify({ preset: "fast", changed: { strength: 0 } }));
  performance.getEntriesByType = () => [{ type: "navigate" }];
  globalThis.location = new URL("http://localhost/?preset=gentle&scale=2.5&strength=7&format=webp");
  restore();
  globalThis.location = new URL("http://localhost/");
  assert.equal(state.preset, "gentle");
  assert.deepEqual(state.changed, {});
  assert.deepEqual(selectors.sizeSettings(state.size), { scale: 2.5 });
  assert.equal(state.encoding.format, "webp");
  const link = new URL(store.linkOfSettings(state));
  assert.equal(link.searchParams.get("scale"), "2.5");
});

test("several files go to the batch, two at a time, and its list opens with the last one", async () => {
  store.chooseFiles([photo("a.jpg"), photo("b.jpg"), photo("c.jpg")]);
  await settle();
  assert.equal(state.tab, "batch");
  assert.equal(server.uploads.length, 2);
  await server.uploads[0].answer("/uploads/a.jpg");
  assert.equal(server.uploads.length, 3);
  assert.equal(selectors.currentFile(state).name, "a.jpg");
  await server.uploads[1].answer("/uploads/b.jpg");
  assert.equal(selectors.stageMode(state), "empty");
  await server.uploads[2].answer("/uploads/c.jpg");
  assert.equal(selectors.stageMode(state), "unread");
  store.chooseFiles([photo("d.jpg")]);
  await settle();
  assert.equal(selectors.stageMode(state), "unread");
});

test("a part that is replaced draws no more", async () => {
  const drawn = [];
  const end = store.onChange(({ problem }) => drawn.push(problem));
  change({ problem: "first" });
  await pass(0);
  end();
  change({ problem: "second" });
  await pass(0);
  assert.deepEqual(drawn, [null, "first"]);
});

test("an empty field of the size starts nothing", async () => {
  await openPreviewed();
  const before = server.calls.length;
  set("kind", "custom");
  set("by", "long_side");
  set("long_side", null);
  await pass(1000);
  assert.equal(selectors.emptyControl(state), "long_side");
  assert.equal(selectors.canEnhance(state), false);
  assert.equal(server.calls.length, before);
});
