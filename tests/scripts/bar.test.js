// What the bar and the choice of files show: names, uploads, fidelity and a server that comes back.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { pass, server, settle } from "./browser.js";

const folder = "../../enhance/web/page/scripts";
const store = await import(`${folder}/store.js`);
const { newState } = await import(`${folder}/state.js`);
const { html } = await import(`${folder}/dom.js`);
const { uploadOf } = await import(`${folder}/upload_progress.js`);
const { gradeOf } = await import(`${folder}/fidelity.js`);
const { comebackOf, watchConnection } = await import(`${folder}/connection.js`);
const { state, change } = store;

watchConnection();

beforeEach(async () => {
  change(newState());
  await pass(10_000);
  server.clear();
});

test("a file name is text, in its own order of letters", () => {
  const name = "photo\u202egnp.<img src=x>&.jpg";
  assert.equal(html`<b>${name}</b>`.text, "<b>photognp.&lt;img src=x&gt;&amp;.jpg</b>");
});

test("the progress of several uploads counts bytes", () => {
  const arrived = { bytes: 600, path: "/a", upload: null };
  const half = { bytes: 300, path: null, upload: { share: 0.5, seconds: 10, error: null } };
  const waiting = { bytes: 100, path: null, upload: { share: 0, seconds: null, error: null } };
  const sum = uploadOf([arrived, half, waiting]);
  assert.deepEqual(sum, { bytes: 1000, sent: 750, share: 0.75, seconds: 250 / 15 });
  assert.equal(uploadOf([waiting]).seconds, null);
});

for (const [decibels, grade] of [
  [30, "very"],
  [21.96, "very"],
  [21.9, "good"],
  [7, "fair"],
  [-3, "free"],
  [null, null],
]) {
  test(`a fidelity of ${decibels} dB is ${grade}`, () => {
    assert.equal(gradeOf({ fidelity_worst_db: decibels }), grade);
  });
}

for (const [title, file, problem] of [
  ["no image", new File(["text"], "note.txt", { type: "text/plain" }), "upload_no_image"],
  [
    "too large",
    new File(["x".repeat(1001)], "a.jpg", { type: "image/jpeg" }),
    "upload_file_too_large",
  ],
  ["empty", new File([], "a.jpg", { type: "image/jpeg" }), "file_empty"],
]) {
  test(`a file that is ${title} is not sent`, async () => {
    store.chooseFiles([file]);
    await settle();
    assert.equal(state.problem.text, problem);
    assert.equal(server.uploads.length, 0);
  });
}

test("a camera raw file is sent, although its type says nothing", async () => {
  store.chooseFiles([new File(["raw"], "a.cr3", { type: "application/octet-stream" })]);
  await settle();
  assert.equal(server.uploads.length, 1);
});

for (const [what, id, comeback] of [
  ["a run that goes on", 1, "continues"],
  ["a run that goes on after a restart of the server", 2, "restarted"],
]) {
  test(`${what} says so for a moment`, async () => {
    change({ isOffline: true });
    await pass(100);
    assert.equal(comebackOf(), null);
    server.id = id;
    change({ isOffline: false });
    await pass(100);
    assert.equal(comebackOf(), comeback);
    await pass(3000);
    assert.equal(comebackOf(), comeback);
    await pass(1000);
    assert.equal(comebackOf(), null);
  });
}
