// @ts-check
// The state of the page with everything that changes it. Parts of the page import only this module.
import { onOffline } from "./client.js";
import { change } from "./slots.js";

export { linkOfSettings } from "./links.js";
export { restore, save } from "./saved.js";
export { applyValues, resetTuning, set, setRegion } from "./controls.js";
export { compareWith, retryPreview } from "./requests.js";
export { cancel, loadPresets, prepareDownload, report, resultFrom, run, startNow } from "./runs.js";
export { change, inSlot, onChange, showProblem, state, stop } from "./slots.js";
export { addFiles, cancelUpload, chooseFiles, startOver } from "./uploads.js";
export {
  cancelBatch,
  clearFiles,
  enlargeFile,
  prepareArchive,
  removeFile,
  replaceFile,
  retryFile,
  runBatch,
  selectFile,
} from "./batch.js";

onOffline((isOffline) => change({ isOffline }));
