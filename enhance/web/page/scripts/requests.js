// @ts-check
// What is missing for the present state is requested, a moment after the last change.
import { addressOf, call, fileOf, isStored, reasonOf, Refused, wait } from "./client.js";
import { change, inSlot, showProblem, state, stop, whenSettled } from "./slots.js";
import {
  canPreview,
  currentFile,
  emptyControl,
  isPlanned,
  pixelsKey,
  planKey,
  previewKey,
  previewState,
  settingsOf,
} from "./state.js";

/** @typedef {import("./state.js").ChosenFile} ChosenFile */

const IDLE_MS = 250;
const BUSY_MS = 2000;

/** @type {(file: ChosenFile) => void} */
let sendAgain = () => {};

/**
 * Calls the listener with a file that the server has lost.
 * @param {(file: ChosenFile) => void} listener
 */
export function onLost(listener) {
  sendAgain = listener;
}

// Progress and answers change the state too, but not what is wanted.
whenSettled(
  () => [planKey(state), state.region, canPreview(state), state.isOffline],
  IDLE_MS,
  requestNow,
);

/**
 * Changes fields of a file of the batch, if it is still there.
 * @param {string} id
 * @param {Partial<ChosenFile>} patch
 */
export function changeFile(id, patch) {
  const files = state.batch.files.map((file) => (file.id === id ? { ...file, ...patch } : file));
  change({ batch: { ...state.batch, files } });
}

/** Requests what is missing, without waiting for more changes. */
export function requestNow() {
  const file = currentFile(state);
  if (!file?.path || file.problem) return;
  if (emptyControl(state) === null && !isPlanned(state)) analyse(file, file.path);
  const isMissing = !["none", "matches", "failed"].includes(previewState(state));
  if (isMissing && canPreview(state)) preview(file, file.path);
  else stop("preview");
}

/**
 * Calls an endpoint, and again after a while if the server has too much to do.
 * @param {string} name
 * @param {Record<string, any>} given
 * @param {import("./client.js").CallOptions} options
 * @returns {Promise<any[]>}
 */
async function callWhenFree(name, given, options) {
  try {
    return await call(name, given, options);
  } catch (error) {
    if (!(error instanceof Refused && error.key.startsWith("queue_"))) throw error;
  }
  await wait(BUSY_MS, options.signal);
  return await callWhenFree(name, given, options);
}

/**
 * Requests the plan of a file.
 * @param {ChosenFile} file
 * @param {string} path
 * @param {"photo" | "plan"} [slot] of the request: that of the current file, or that of the batch
 */
export function analyse(file, path, slot = "photo") {
  const key = planKey(state, path);
  const given = {
    image: fileOf(path, file.name),
    ...settingsOf(state),
    format: state.encoding.format,
  };
  const show = (/** @type {any[]} */ outputs) =>
    change({ plans: { ...state.plans, [path]: { ...outputs[0], for: key } } });
  const work = async (/** @type {AbortSignal} */ signal) => {
    show(await callWhenFree("analyse", given, { signal, onUpdate: show }));
    if (state.tab === "single") change({ problem: null });
  };
  return inSlot(slot, key, work, (error) =>
    sendAgainOrShow(error, file, (text) => showRefusal(file, path, key, text)),
  );
}

/**
 * Shows why there is no plan of a file. A photo that was never planned gives way to the one before.
 * @param {ChosenFile} file
 * @param {string} path
 * @param {string} key of the plan
 * @param {string} text
 */
function showRefusal(file, path, key, text) {
  if (state.batch.files.some(({ id }) => id === file.id)) {
    changeFile(file.id, { problem: text });
    return;
  }
  const isChosen = file.id === state.file?.id;
  const known = state.plans[path];
  if (known) {
    // The same request would fail again, so the plan of earlier settings counts for these.
    change({ plans: { ...state.plans, [path]: { ...known, for: key } } });
  } else if (isChosen) {
    change({ file: state.previous, previous: null });
  }
  if (isChosen) showProblem(text);
}

/** @param {{ left: number, top: number, width: number, height: number }} box */
function rectangle({ left, top, width, height }) {
  return /** @type {[number, number, number, number]} */ ([left, top, width, height]);
}

/**
 * Returns a preview from the outputs of its call.
 * @param {any[]} outputs
 * @param {string} path
 */
function previewOf([before, after, info], path) {
  return {
    file: path,
    before: addressOf(before.path),
    after: addressOf(after.path),
    region: rectangle(info.preview),
    window: rectangle(info.window),
    signature: info.signature,
    isQuick: Boolean(info.quick),
    isApproximate: Boolean(info.approximate),
  };
}

/**
 * @param {ChosenFile} file
 * @param {string} path
 */
function preview(file, path) {
  const key = previewKey(state);
  const pixels = pixelsKey(state);
  const [left, top, width, height] = state.region ?? [0, 0, 0, 0];
  const region = { left, top, width, height };
  const given = { image: fileOf(path, file.name), ...region, ...settingsOf(state) };
  const show = (/** @type {any[]} */ outputs) => {
    if (outputs[2]) change({ preview: { ...previewOf(outputs, path), for: key, pixels } });
  };
  const work = async (/** @type {AbortSignal} */ signal) => {
    show(await callWhenFree("preview", given, { signal, onUpdate: show }));
    change({ previewProblem: null });
  };
  inSlot("preview", key, work, (error) =>
    sendAgainOrShow(error, file, (text) => {
      if (key === previewKey(state)) change({ previewProblem: { for: key, text } });
    }),
  );
}

/**
 * Returns the settings after the choice of a preset, which only keeps what was changed for itself.
 * @param {string} preset
 */
export function settingsWith(preset) {
  const changed = preset === state.preset ? state.changed : {};
  return settingsOf({ ...state, preset, changed });
}

/**
 * Returns the addresses of a square region of the current photo: only enlarged, and by a preset.
 * Unlike a preview of the visible region, it is never smaller and no quick one comes before it.
 * @param {string} preset
 * @param {import("./state.js").Rectangle} region
 * @param {AbortSignal} signal
 */
export async function compareWith(preset, [left, top, width, height], signal) {
  const file = /** @type {ChosenFile} */ (currentFile(state));
  const image = fileOf(/** @type {string} */ (file.path), file.name);
  const place = { x: left + width / 2, y: top + height / 2, size: Math.max(width, height) };
  const [before, after] = await call(
    "preview",
    { image, ...place, ...settingsWith(preset) },
    { signal },
  );
  return { before: addressOf(before.path), after: addressOf(after.path) };
}

/**
 * Sends the file of a failed request again if the server has lost it, and shows why the request has
 * failed otherwise. Whether it is lost is known late, so `show` must look whether the request still
 * matters: the user can have chosen another photo.
 * @param {Error} error
 * @param {ChosenFile} file
 * @param {(text: string) => void} show
 */
export async function sendAgainOrShow(error, file, show) {
  if (file.path && !(await isStored(file.path))) sendAgain(file);
  else show(reasonOf(error));
}

/** Requests a preview that has failed again. */
export function retryPreview() {
  stop("preview");
  const preview = state.preview && { ...state.preview, for: "" };
  change({ previewProblem: null, preview });
  requestNow();
}
