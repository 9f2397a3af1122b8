// @ts-check
// What the bar says after the server did not answer for a while.

import { change, onChange, state } from "./store.js";

const SHOWN_MS = 4000;

/** The id of the server, which is another one after a restart. */
let server = /** @type {any} */ (globalThis).gradio_config?.app_id;

/** @type {"continues" | "restarted" | null} */
let comeback = null;

let isAway = false;
let timer = 0;

/** Returns how the run goes on after the server did not answer, for a short time. */
export const comebackOf = () => comeback;

/** Watches whether the server answers. */
export function watchConnection() {
  onChange(() => {
    if (state.isOffline === isAway) return;
    isAway = state.isOffline;
    if (isAway) comeback = null;
    else comeBack();
  });
}

async function comeBack() {
  const id = await readId();
  if (isAway) return;
  comeback = id === server ? "continues" : "restarted";
  server = id;
  change({});
  clearTimeout(timer);
  timer = setTimeout(() => {
    comeback = null;
    change({});
  }, SHOWN_MS);
}

async function readId() {
  try {
    const response = await fetch("gradio_api/app_id");
    return (await response.json()).app_id;
  } catch {
    return server;
  }
}
