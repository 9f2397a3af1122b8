// @ts-check
// The texts of the page and the formats of numbers, in the language of the page.

/**
 * The texts by language, and constants of the server.
 * @type {{
 *   texts: Record<string, Record<string, string>>, languages: Record<string, string>,
 *   papers: Record<string, [number, number]>,
 *   formats: Record<string, { name: string, bits: number, alpha: boolean, quality: boolean }>,
 *   ranges: Record<string, { low: number, high: number, step: number, neutral: number | null }>,
 *   grades: Record<string, number>, presets: string[], backgrounds: string[], metadata: string[],
 *   cards: Record<string, string>, retentionHours: number,
 *   limits: { pixels: number, bytes: number, files: number, batch_bytes: number },
 *   commas: Record<string, string>, pixelUnits: Record<string, Record<string, number>>,
 * }}
 */
export const constants = /** @type {any} */ (globalThis).enhanceData;

/** @param {string} tag */
const withoutCountry = (tag) => tag.split("-")[0].toLowerCase();

const wanted = withoutCountry(/** @type {any} */ (globalThis).enhanceLanguage ?? "en");

/** The language of the page: one of those that have texts. */
export const language =
  Object.keys(constants.texts).find((tag) => withoutCountry(tag) === wanted) ?? "en";

const texts = constants.texts[language];

/**
 * Returns a text with `values` in its placeholders.
 * @param {string} key
 * @param {Record<string, unknown>} [values]
 */
export function word(key, values = {}) {
  return texts[key].replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

/**
 * Returns the text of a kind of name, for example the "preset" "gentle".
 * @param {string} kind
 * @param {string} name
 */
export function nameOf(kind, name) {
  return texts[`${kind}_${name}`] ?? name;
}

/**
 * Returns a list of texts as one text, without those that are null or false; null if there are none.
 * @param {(string | null | false)[]} texts
 */
export function joinTexts(texts) {
  const given = /** @type {string[]} */ (texts.filter(Boolean));
  if (given.length === 0) return null;
  return given.reduce((names, name) => word("names_joined", { names, name }));
}

/** @param {string} format @returns {string} its name for the user */
export const nameOfFormat = (format) => constants.formats[format].name;

/** @param {number} number */
export function formatNumber(number) {
  return number.toLocaleString("en", { maximumFractionDigits: 2 });
}

/**
 * Returns a number of pixels in the units of the language: "12.2 MP".
 * @param {number} count
 * @param {number} [digits] the significant ones; all digits before the point are shown
 */
export function formatPixels(count, digits = 3) {
  const units = Object.entries(constants.pixelUnits[language]);
  const [key, size] = units.find(([, one]) => count >= one) ?? units[units.length - 1];
  const number = count / size;
  const isLong = number >= 10 ** (digits - 1);
  const rounding = isLong ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: digits };
  const shown = number.toLocaleString("en", rounding).replace(",", constants.commas[language]);
  return word(key, { n: shown });
}

/** @param {number} count */
export function formatBytes(count) {
  const fixed = (/** @type {number} */ number, /** @type {number} */ digits) =>
    number.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  if (count < 1e3) return `${count} B`;
  if (count < 1e6) return `${fixed(count / 1e3, 0)} kB`;
  if (count < 1e9) return `${fixed(count / 1e6, 1)} MB`;
  return `${fixed(count / 1e9, 1)} GB`;
}

/**
 * Returns an expected time with the precision of an estimate: "8 s", "45 s", "3 min".
 * @param {number} seconds
 */
export function formatDuration(seconds) {
  if (seconds < 20) return word("seconds", { n: Math.max(1, Math.round(seconds)) });
  if (seconds < 90) return word("seconds", { n: 5 * Math.round(seconds / 5) });
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return word("minutes", { n: minutes });
  const tens = Math.round(minutes / 10);
  const hours = word("hours", { n: Math.floor(tens / 6) });
  return tens % 6 ? `${hours} ${word("minutes", { n: 10 * (tens % 6) })}` : hours;
}

/**
 * Returns the address of a file of the page, for example "examples/cat.jpg".
 * @param {string} name
 */
export function assetAddress(name) {
  return `${/** @type {any} */ (globalThis).enhanceAssets}/${name}`;
}

/**
 * Returns a text whose lines end neither within a size, nor between a number and its unit, nor before a
 * quotation mark.
 * @param {string} text
 */
export function joinUnits(text) {
  return text
    .replace(/ × /g, "\u00a0×\u00a0")
    .replace(/(\d) (?=\p{L})/gu, "$1\u00a0")
    .replace(/(\p{sc=Han}) (?=\d)/gu, "$1\u00a0")
    .replace(/(?<=\p{sc=Han})“/gu, "\u2060“");
}
