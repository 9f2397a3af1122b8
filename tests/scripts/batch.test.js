// The batch, tested with a server that the test controls.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { pass, server, settle } from "./browser.js";

const folder = "../../enhance/web/page/scripts";
const store = await import(`${folder}/store.js`);
const { save, restore } = await import(`${folder}/saved.js`);
const selectors = await import(`${folder}/state.js`);
const batch = await import(`${folder}/batch_state.js`);
const { batchBar } = await import(`${folder}/batch_bar.js`);
const { state, change, set } = store;

const SLOTS = ["upload 1", "upload 2", "photo", "plan", "preview", "batch", "archive", "export"];

beforeEach(async () => {
  store.stop(...SLOTS);
  await pass(1000);
  change(selectors.newState());
  await pass(1000);
  server.clear();
});

/** Answers all calls of /analyse, until no file waits for its plan. Files with "bad" are unreadable. */
async function answerPlans() {
  await pass(500);
  for (let call = server.last("analyse"); call && !call.answered; call = server.last("analyse")) {
    call.answered = true;
    await answerPlan(call);
  }
}

async function answerPlan(call) {
  const { image, scale, long_side, largest } = call.given;
  if (image.path.includes("bad")) return await call.refuse(`${image.orig_name} is damaged.`);
  const isSmall = image.path.includes("small") && long_side === 2048;
  const solutions = [{ text: "Use 64 px", values: { long_side: 64 } }];
  const settings = { preset: "fast", scale, long_side: isSmall ? 64 : long_side };
  await call.answer({
    settings,
    signature: `${image.path} ${settings.scale} ${settings.long_side}`,
    problem: isSmall && !largest ? { text: "too large", solutions } : null,
    photo: { address: "photo", width: 8, height: 8 },
    result: { width: 32, height: 32 },
    presets: { fast: { estimated_seconds: 2 } },
    estimated_seconds: 2,
  });
}

/** Adds files that arrive and are planned. */
async function open(...names) {
  await add(...names);
  await answerPlans();
}

/** Adds files that arrive. */
async function add(...names) {
  set("tab", "batch");
  store.addFiles(names.map((name) => new File(["pixels"], name, { type: "image/png" })));
  await settle();
  let number = 0;
  for (let sent = server.uploads[number]; sent; sent = server.uploads[++number]) {
    if (!sent.status) await sent.answer(`/uploads/${sent.file.name}`);
  }
}

const idOf = (name) => state.batch.files.find((file) => file.name === name).id;
const statesOf = () => state.batch.files.map((file) => batch.fileState(state, file));

function info(call, number) {
  const { path } = call.given.images[number - 1];
  const { scale, long_side } = call.given;
  const output = { width: 32, height: 32, bytes: 9 };
  return { signature: `${path} ${scale} ${long_side}`, output, regions: { result: "result" } };
}

async function sendProgress(states, results = []) {
  const call = server.last("batch");
  const files = states.map((now, place) => ({ number: place + 1, state: now, error: null }));
  const done = results.map((number) => ({ number, info: info(call, number) }));
  const progress = { share: 0.5, seconds_left: 9, ahead: 0, files, results: done };
  await call.update(null, { progress });
}

async function endRun(states) {
  const call = server.last("batch");
  const files = states.map((now, place) => ({
    state: now,
    error: now === "failed" ? "no" : null,
    info: now === "done" ? info(call, place + 1) : null,
  }));
  const done = states.filter((now) => now === "done").length;
  await call.answer(
    { path: "/enhanced.zip", orig_name: "enhanced.zip" },
    { files, done, error: null },
  );
}

test("each file is planned, and those that cannot be read need attention", async () => {
  await open("a.png", "bad.png", "b.png");
  assert.deepEqual(statesOf(), ["ready", "unreadable", "ready"]);
  assert.deepEqual(
    batch.unfinishedFiles(state).map((file) => file.name),
    ["a.png", "b.png"],
  );
  assert.equal(batch.expectedSeconds(state, batch.unfinishedFiles(state)), 4);
  set("preset", "gentle");
  await answerPlans();
  assert.ok(
    ["a.png", "b.png"].every((name) => state.plans[`/uploads/${name}`].for.includes("gentle")),
  );
});

test("photos are counted once they are read, and a run contains those that are not", async () => {
  await add("a.png", "bad.png");
  await pass(500);
  await answerPlan(server.last("analyse"));
  assert.deepEqual(statesOf(), ["ready", "unread"]);
  assert.match(batchBar().text, /<b>batch_unread<\/b>.*\sbatch_enhance\s/s);
  store.runBatch();
  await settle();
  assert.equal(server.last("batch").given.images.length, 2);
  await endRun(["done", "failed"]);
  await answerPlans();
  assert.deepEqual(statesOf(), ["done", "unreadable"]);
  await open("b.png");
  assert.match(batchBar().text, /<b>batch_count_1<\/b>.*\sbatch_enhance_n\s/s);
});

test("a run shows each file, its result at once, and in the end the ZIP file", async () => {
  await open("a.png", "b.png", "c.png");
  store.runBatch();
  await settle();
  assert.deepEqual(statesOf(), ["waiting", "waiting", "waiting"]);
  await sendProgress(["done", "running", "waiting"], [1]);
  assert.deepEqual(statesOf(), ["done", "running", "waiting"]);
  assert.equal(selectors.stageMode(state), "result");
  await sendProgress(["done", "running", "waiting"]);
  assert.equal(state.results["/uploads/a.png"].entry, `${state.batch.job.name}.1`);
  await endRun(["done", "failed", "done"]);
  assert.deepEqual(statesOf(), ["done", "failed", "done"]);
  assert.equal(state.batch.archive.count, 2);
  assert.deepEqual(await store.prepareArchive(), state.batch.archive);
  const first = server.last("batch");
  store.retryFile(idOf("b.png"));
  await settle();
  assert.equal(server.last("batch").given.images.length, 3);
  assert.notEqual(server.last("batch").given.job, first.given.job);
  assert.deepEqual(statesOf(), ["waiting", "waiting", "waiting"]);
});

test("removing a file during a run cancels it alone, also before the server knows the run", async () => {
  await open("a.png", "b.png");
  store.runBatch();
  await settle();
  store.removeFile(idOf("b.png"));
  await settle();
  const { job, file } = server.last("cancel").given;
  assert.deepEqual([job, file], [state.batch.job.name, 2]);
  await server.last("cancel").answer({ known: false, state: "unknown" });
  await pass(1000);
  await server.last("cancel").answer({ known: true, state: "cancelled" });
  await pass(1000);
  assert.equal(server.calls.filter((call) => call.name === "cancel").length, 2);
  assert.ok(state.batch.isRunning);
  await endRun(["done", "cancelled"]);
  assert.deepEqual(statesOf(), ["done"]);
  assert.equal(batch.countStates(state).cancelled, 0);
});

test("files and settings of a run stay, and later ones are for the next run", async () => {
  await open("a.png");
  store.runBatch();
  await settle();
  await open("later.png");
  assert.deepEqual(statesOf(), ["waiting", "next"]);
  set("kind", "2x");
  await endRun(["done"]);
  await answerPlans();
  assert.equal(batch.unfinishedFiles(state).length, 2);
  store.runBatch();
  await settle();
  const { images, scale } = server.last("batch").given;
  assert.deepEqual([images.length, scale], [2, 2]);
});

test("a reload follows the same run with the same files", async () => {
  await open("a.png", "b.png");
  store.runBatch();
  await settle();
  await sendProgress(["done", "running"], [1]);
  store.removeFile(idOf("a.png"));
  const { given } = server.last("batch");
  save();
  store.stop(...SLOTS);
  change(selectors.newState());
  globalThis.performance.getEntriesByType = () => [{ type: "reload" }];
  restore();
  await settle();
  assert.deepEqual(server.last("batch").given, given);
  assert.ok(state.batch.isRunning);
  await endRun(["done", "done"]);
  assert.deepEqual(statesOf(), ["done"]);
});

test("a cancelled run keeps its results, which can be downloaded", async () => {
  await open("a.png", "b.png");
  store.runBatch();
  await settle();
  await sendProgress(["done", "running"], [1]);
  const name = state.batch.job.name;
  store.cancelBatch();
  await settle();
  assert.equal(server.last("cancel").given.job, name);
  assert.deepEqual(statesOf(), ["done", "ready"]);
  const archive = store.prepareArchive();
  await settle();
  assert.deepEqual(server.last("export").given.id, name);
  await server.last("export").answer({ path: "/part.zip" }, { done: 1, files: [] });
  assert.equal((await archive).count, 1);
});

test("a size that a photo cannot have is replaced, or refused with a button that replaces it", async () => {
  set("kind", "web");
  await open("small.png");
  assert.equal(server.last("analyse").given.largest, true);
  assert.ok(batch.isLimited(state, batch.planOf(state, state.batch.files[0])));
  set("largest", false);
  await answerPlans();
  assert.deepEqual(statesOf(), ["refused"]);
  assert.equal(batch.filesToRun(state).length, 0);
  store.enlargeFile(idOf("small.png"));
  await answerPlans();
  assert.deepEqual(statesOf(), ["ready"]);
  assert.equal(state.largest, true);
});

test("a file that the server has lost is sent again", async () => {
  await open("a.png");
  server.missing.add("/uploads/a.png");
  store.runBatch();
  await settle();
  await server.last("batch").refuse("The file does not exist.");
  assert.equal(server.uploads.length, 2);
  assert.equal(state.problem, null);
});

test("a batch takes as many files as the server accepts", () => {
  set("tab", "batch");
  const name = (_, place) => new File(["pixels"], `${place}.png`, { type: "image/png" });
  store.addFiles(Array.from({ length: 150 }, name));
  store.addFiles(Array.from({ length: 60 }, name));
  assert.equal(state.batch.files.length, 200);
  assert.ok(state.problem);
});

test("a plan that the server has no time for is requested again", async () => {
  set("tab", "batch");
  store.addFiles([new File(["pixels"], "a.png", { type: "image/png" })]);
  await settle();
  await server.uploads[0].answer("/uploads/a.png");
  await pass(500);
  await server.last("analyse").refuse("The queue is full.", "queue_full");
  await pass(2500);
  await answerPlans();
  assert.deepEqual(statesOf(), ["ready"]);
});
