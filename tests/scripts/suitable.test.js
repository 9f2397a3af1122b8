// Which presets are compared.
import assert from "node:assert/strict";
import { test } from "node:test";

const { suitablePresets } = await import("../../enhance/web/page/scripts/suitable.js");

const NAMES = ["precise", "balanced", "fast", "gentle", "original", "gentle-2x", "anime", "face"];
const PRESETS = NAMES.map((name) => ({ name, available: true, own: false }));

function plan(kind, auto, tips = []) {
  const advice = tips.map((preset) => ({
    text: "",
    solutions: [{ text: "", values: { preset } }],
  }));
  return { auto: { preset: auto, analysis: { kind } }, tips: advice };
}

test("the preset of Auto comes first, then those for the kind of image, at most five", () => {
  const names = suitablePresets(plan("photo", "balanced"), PRESETS, "auto");
  assert.deepEqual(names, ["balanced", "precise", "fast", "gentle", "original"]);
  assert.equal(suitablePresets(plan("drawing", "anime"), PRESETS, "auto")[0], "anime");
});

test("the chosen preset is always compared", () => {
  const names = suitablePresets(plan("photo", "balanced"), PRESETS, "anime");
  assert.deepEqual(names, ["balanced", "precise", "fast", "gentle", "anime"]);
});

test("a preset that the photo needs is compared, and one that is not installed is not", () => {
  const installed = PRESETS.map((one) => ({ ...one, available: one.name !== "precise" }));
  const names = suitablePresets(plan("photo", "gentle", ["face", "dehaze"]), installed, "auto");
  assert.deepEqual(names, ["gentle", "face", "balanced", "fast", "original"]);
});

test("Resize, which only Auto selects, is compared too", () => {
  assert.equal(suitablePresets(plan("photo", "resize"), PRESETS, "auto")[0], "resize");
});
