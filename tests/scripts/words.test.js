// Numbers in the language of the page: here Chinese, which counts pixels in 万 and 亿.
import assert from "node:assert/strict";
import { test } from "node:test";
import "./browser.js";

globalThis.enhanceLanguage = "zh-CN";
Object.assign(globalThis.enhanceData, {
  texts: { "zh-CN": { megapixels: "{n} 万像素", pixels_large: "{n} 亿像素" } },
  commas: { "zh-CN": "" },
  pixelUnits: { "zh-CN": { pixels_large: 1e8, megapixels: 1e4 } },
});
const { formatPixels } = await import("../../enhance/web/page/scripts/words.js");

test("a number of pixels has the unit that suits it, and no comma", () => {
  assert.equal(formatPixels(4032 * 3024), "1219 万像素");
  assert.equal(formatPixels(1e8), "1 亿像素");
  assert.equal(formatPixels(2.5e8), "2.5 亿像素");
});

test("a chosen number of pixels is shown with all its digits", () => {
  assert.equal(formatPixels(0.5e6, 6), "50 万像素");
  assert.equal(formatPixels(12.345e6, 6), "1234.5 万像素");
  assert.equal(formatPixels(123.4e6, 6), "1.234 亿像素");
});
