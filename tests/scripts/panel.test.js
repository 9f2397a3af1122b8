// What the native controls show: what the user has set, else what the plan or the preset has.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import "./browser.js";

const folder = "../../enhance/web/page/scripts";
const { change } = await import(`${folder}/store.js`);
const { newState } = await import(`${folder}/state.js`);
const { changeControl, controlUpdates } = await import(`${folder}/native.js`);

const NAMES = ["kind", "tuning", "strength", "denoise"];
const UNCHANGED = { __type__: "update" };
const fast = { strength: 0.6, denoise: 1, tuning: true };
const gentle = { strength: 0.7, denoise: 0, tuning: true };
const presets = [
  { name: "fast", settings: fast, denoise_is_fixed: true },
  { name: "gentle", settings: gentle, denoise_is_fixed: false },
];
const plan = { auto: { preset: "gentle" }, settings: { ...gentle, preset: "gentle" } };

const valuesOf = (updates) => updates.map(({ value }) => value);

beforeEach(() => {
  change({ ...newState(), presets, file: { id: "a", path: "/a" }, plans: { "/a": plan } });
  controlUpdates(NAMES);
});

test("controls that show the state already are not set again", () => {
  assert.deepEqual(
    controlUpdates(NAMES),
    NAMES.map(() => UNCHANGED),
  );
  changeControl("strength", 0.2);
  assert.deepEqual(
    controlUpdates(NAMES),
    NAMES.map(() => UNCHANGED),
  );
});

test("another preset shows its values before its plan has arrived", () => {
  changeControl("strength", 0.2);
  change({ preset: "fast", changed: {} });
  const [kind, , strength, denoise] = controlUpdates(NAMES);
  assert.deepEqual(valuesOf([kind, strength, denoise]), [undefined, 0.6, 1]);
  assert.equal(denoise.interactive, false, "only the model for denoise 1 is installed");
});

test("sliders are disabled while tuning is off", () => {
  changeControl("tuning", false);
  const [, , strength, denoise] = controlUpdates(NAMES);
  assert.equal(strength.interactive, false);
  assert.deepEqual(denoise, UNCHANGED, "noise is removed without tuning too");
});

test("a value that the user has set stays with the next photo", () => {
  changeControl("strength", 0.2);
  const next = { ...plan, settings: { ...plan.settings, strength: 0.9, tuning: false } };
  change({ file: { id: "b", path: "/b" }, plans: { "/b": next } });
  const [, tuning, strength] = controlUpdates(NAMES);
  assert.deepEqual([tuning.value, strength.value], [false, 0.2]);
});
