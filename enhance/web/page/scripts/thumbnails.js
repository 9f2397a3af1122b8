// @ts-check
// Small pictures of photos: of files that are still in the page, or of images of the server.
import { html, icon } from "./dom.js";

/** @type {Map<string, string>} */
const addresses = new Map();

/**
 * Returns the address of the picture of a file, or null after a reload, when the page no longer has
 * the file.
 * @param {{ id: string, blob: File | null }} file
 */
export function pictureOf({ id, blob }) {
  if (!blob) return null;
  const known = addresses.get(id);
  if (known) return known;
  const address = URL.createObjectURL(blob);
  addresses.set(id, address);
  return address;
}

/**
 * Returns a picture over an icon. As a background, a format that the browser does not know shows
 * nothing.
 * @param {string | null} address
 */
export function picture(address) {
  return html`<span class="thumbnail">
    ${icon("photo")} ${address && html`<i style="background-image: url('${address}')"></i>`}
  </span>`;
}

/**
 * Returns the address of a whole photo or result, reduced to about `side` pixels on its shorter side.
 * @param {import("./tiles.js").Source} source
 * @param {number} side
 */
export function reducedAddress({ address, width, height }, side) {
  const reduction = Math.max(Math.min(width, height) / side, 1);
  const step = 2 ** Math.floor(Math.log2(reduction));
  return `${address}?left=0&top=0&width=${width}&height=${height}&step=${step}`;
}

/**
 * Releases the pictures of all other files.
 * @param {{ id: string }[]} files
 */
export function keepPictures(files) {
  const kept = new Set(files.map((file) => file.id));
  for (const [id, address] of addresses) {
    if (kept.has(id)) continue;
    URL.revokeObjectURL(address);
    addresses.delete(id);
  }
}
