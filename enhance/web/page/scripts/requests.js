// @ts-check
// What is missing for the present state is requested, a moment after the last change.
import { addressOf, call, fileOf, isStored, Refused } from "./client.js";
import { afterChange, change, inSlot, state, stop } from "./slots.js";
import {
  canPreview,
  currentFile,
  emptyControl,
  isPlanned,
  lookOf,
  planKey,
  previewKey,
  previewState,
  settingsOf,
  sizeSettings,
} from "./state.js";

/** @typedef {import("./state.js").ChosenFile} ChosenFile */

const IDLE_MS = 250;

let timer = 0;
let last = "";
/** @type {(file: ChosenFile) => void} */
let sendAgain = () => {};

/**
 * Calls the listener with a file that the server has lost.
 * @param {(file: ChosenFile) => void} listener
 */
export function onLost(listener) {
  sendAgain = listener;
}

afterChange(() => {
  // Progress and answers change the state too, but not what is wanted.
  const wanted = JSON.stringify([planKey(state), state.view, canPreview(state), state.isOffline]);
  if (wanted === last) return;
  last = wanted;
  clearTimeout(timer);
  timer = setTimeout(request, IDLE_MS);
});

/** Requests what is missing without waiting for more changes. */
export function requestNow() {
  clearTimeout(timer);
  request();
}

function request() {
  const file = currentFile(state);
  if (!file?.path) return;
  if (emptyControl(state) === null && !isPlanned(state)) analyse(file, file.path);
  const isMissing = !["none", "matches", "failed"].includes(previewState(state));
  if (isMissing && canPreview(state)) preview(file, file.path);
  else stop("preview");
}

/**
 * @param {ChosenFile} file
 * @param {string} path
 */
function analyse(file, path) {
  const key = planKey(state);
  const given = {
    image: fileOf(path, file.name),
    ...settingsOf(state),
    format: state.encoding.format,
  };
  const show = (/** @type {any[]} */ outputs) =>
    change({ photos: { ...state.photos, [path]: { ...outputs[0], for: key } } });
  const work = async (/** @type {AbortSignal} */ signal) => {
    show(await call("analyse", given, { signal, onUpdate: show }));
    change({ problem: null });
  };
  inSlot("photo", key, work, (error) =>
    explain(error, file, (text) => {
      const known = state.photos[path];
      if (known) {
        // The same request would fail again, so the plan of earlier settings counts for these.
        change({ photos: { ...state.photos, [path]: { ...known, for: key } } });
      } else if (file === state.file) {
        change({ file: state.previous, previous: null });
      }
      change({ problem: text });
    }),
  );
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
export function previewOf([before, after, info], path) {
  return {
    file: path,
    before: addressOf(before.path),
    after: addressOf(after.path),
    region: rectangle(info.preview),
    window: rectangle(info.window),
    signature: info.signature,
    isQuick: Boolean(info.quick),
  };
}

/**
 * @param {ChosenFile} file
 * @param {string} path
 */
function preview(file, path) {
  const key = previewKey(state);
  const look = lookOf(state);
  const [left, top, width, height] = state.view ?? [0, 0, 0, 0];
  const region = { left, top, width, height };
  const given = { image: fileOf(path, file.name), ...region, ...settingsOf(state) };
  const show = (/** @type {any[]} */ outputs) => {
    if (outputs[2]) change({ preview: { ...previewOf(outputs, path), for: key, look } });
  };
  const work = async (/** @type {AbortSignal} */ signal) => {
    show(await call("preview", given, { signal, onUpdate: show }));
    change({ previewProblem: null });
  };
  inSlot("preview", key, work, (error) =>
    explain(error, file, (text) => change({ previewProblem: { for: key, text } })),
  );
}

/**
 * Returns the preview of a region of the current photo by a preset with its own values, or with
 * those of the controls if it is the chosen one. Its `before` is the photo, only enlarged.
 * @param {string} preset
 * @param {import("./state.js").Rectangle} view
 * @param {{ signal?: AbortSignal, onUpdate?: (preview: any) => void }} options
 */
export async function compareWith(preset, view, { signal, onUpdate }) {
  const file = /** @type {ChosenFile} */ (currentFile(state));
  const path = /** @type {string} */ (file.path);
  const [left, top, width, height] = view;
  const chosen = preset === state.preset ? state.changed : {};
  const settings = { preset, ...sizeSettings(state.size), ...chosen };
  const given = { image: fileOf(path, file.name), left, top, width, height, ...settings };
  const show = (/** @type {any[]} */ outputs) => onUpdate?.(previewOf(outputs, path));
  return previewOf(await call("preview", given, { signal, onUpdate: show }), path);
}

/**
 * Shows why a request failed, unless the server has lost its file: then that is sent again.
 * @param {Error} error
 * @param {ChosenFile} file
 * @param {(text: string) => void} show
 */
export async function explain(error, file, show) {
  if (!(error instanceof Refused)) console.error(error);
  if (file.path && !(await isStored(file.path))) sendAgain(file);
  else show(error.message);
}

/** Requests a preview that has failed again. */
export function retryPreview() {
  stop("preview");
  const preview = state.preview && { ...state.preview, for: "" };
  change({ previewProblem: null, preview });
  requestNow();
}
