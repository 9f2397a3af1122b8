// @ts-check
// Images of regions of photos and results: which ones a view needs, their loading and their cache.

/** @typedef {import("./state.js").Rectangle} Rectangle */

/**
 * A photo or a result, whose regions the server sends: the address and the size in pixels.
 * @typedef {{ address: string, width: number, height: number }} Source
 */

/**
 * An image that shows the rectangle `area` of a source, in pixels of the source. Each pixel of the
 * image is the mean of `step` x `step` pixels.
 * @typedef {{ address: string, area: Rectangle, step: number }} Tile
 */

/** The side of a tile in its own pixels. */
const TILE_SIDE = 1024;
/** The longest side of the tile of a whole source, in its own pixels. */
const OVERVIEW_SIDE = 1024;
const LARGEST_STEP = 4096;
/** A zoom that is smaller than a step by rounding alone needs no larger tile. */
const ROUNDING = 0.01;

const CONNECTIONS = 2;
/** Decoded, this takes four times as many bytes. */
const CACHE_PIXELS = 48_000_000;
const RETRY_MS = 2000;
const LARGEST_RETRY_MS = 30_000;

/**
 * @param {Source} source
 * @param {Rectangle} area
 * @param {number} step
 * @returns {Tile}
 */
function tile(source, area, step) {
  const [left, top, width, height] = area;
  const query = `left=${left}&top=${top}&width=${width}&height=${height}&step=${step}`;
  return { address: `${source.address}?${query}`, area, step };
}

/**
 * Returns the tile of a whole source.
 * @param {Source} source
 */
export function overviewOf(source) {
  let step = 1;
  const longest = Math.max(source.width, source.height);
  while (longest / step > OVERVIEW_SIDE && step < LARGEST_STEP) step *= 2;
  return tile(source, [0, 0, source.width, source.height], step);
}

/**
 * Returns the tiles that show a rectangle of a source at `density` device pixels for a pixel of the
 * source. There are none if the tile of the whole source is sharp enough. The tiles lie on a fixed
 * grid, so a view that moves needs few new ones.
 * @param {Source} source
 * @param {Rectangle} rectangle
 * @param {number} density
 */
export function tilesOf(source, rectangle, density) {
  const step = 2 ** Math.max(0, Math.floor(Math.log2(1 / density) + ROUNDING));
  if (step >= overviewOf(source).step) return [];
  const side = TILE_SIDE * step;
  const [left, top, width, height] = rectangle;
  const tiles = [];
  for (let y = Math.floor(top / side) * side; y < top + height; y += side) {
    for (let x = Math.floor(left / side) * side; x < left + width; x += side) {
      const across = Math.min(side, source.width - x);
      const down = Math.min(side, source.height - y);
      if (across > 0 && down > 0) tiles.push(tile(source, [x, y, across, down], step));
    }
  }
  return tiles;
}

/**
 * Loads an image and decodes it, because the first frame that draws it would wait for that.
 * @param {string} address
 */
async function load(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}

/**
 * A tile that was loaded at the time `since`.
 * @typedef {{ tile: Tile, image: HTMLImageElement, since: number }} Loaded
 */

/**
 * The images of a stage by their addresses. It loads two at a time, only those that are needed now,
 * and tries again later after an error.
 */
export class ImageCache {
  /** In the order of their last use. @type {Map<string, Loaded>} */
  #loaded = new Map();
  /** @type {Set<string>} */
  #loading = new Set();
  /** Addresses that have failed, with the number of times. @type {Map<string, number>} */
  #failures = new Map();
  /** Addresses that are not loaded again yet. @type {Set<string>} */
  #paused = new Set();
  /** @type {Tile[]} */
  #needed = [];

  /**
   * @param {() => void} onLoad is called after each image
   * @param {(address: string) => Promise<HTMLImageElement>} [loader]
   */
  constructor(onLoad, loader = load) {
    this.onLoad = onLoad;
    this.loader = loader;
  }

  /** The number of images that are loaded. */
  get size() {
    return this.#loaded.size;
  }

  /** Whether an image that is needed is missing. */
  get isLoading() {
    return this.#needed.some(({ address }) => !this.#loaded.has(address));
  }

  /**
   * Loads these tiles, the first ones first. Others whose loading has not begun are dropped.
   * @param {Tile[]} tiles
   */
  need(tiles) {
    this.#needed = tiles;
    for (const { address } of tiles) this.#markUsed(address);
    this.#loadNext();
  }

  /**
   * Returns a tile, or null if it is not loaded.
   * @param {string} address
   */
  get(address) {
    return this.#loaded.get(address) ?? null;
  }

  /**
   * Returns all loaded tiles of a source, the coarsest first.
   * @param {Source} source
   */
  tilesOf(source) {
    const prefix = `${source.address}?`;
    const tiles = [...this.#loaded.values()].filter(({ tile }) => tile.address.startsWith(prefix));
    return tiles.sort((one, other) => other.tile.step - one.tile.step);
  }

  /** @param {string} address */
  #markUsed(address) {
    const found = this.#loaded.get(address);
    if (!found) return;
    this.#loaded.delete(address);
    this.#loaded.set(address, found);
  }

  #loadNext() {
    for (const tile of this.#needed) {
      if (this.#loading.size >= CONNECTIONS) return;
      const { address } = tile;
      const isKnown = [this.#loaded, this.#loading, this.#paused].some((all) => all.has(address));
      if (!isKnown) void this.#load(tile);
    }
  }

  /** @param {Tile} tile */
  async #load(tile) {
    const { address } = tile;
    this.#loading.add(address);
    try {
      const image = await this.loader(address);
      this.#failures.delete(address);
      this.#loaded.set(address, { tile, image, since: performance.now() });
      this.#forgetOldest();
      this.onLoad();
    } catch {
      this.#pause(address);
    } finally {
      this.#loading.delete(address);
      this.#loadNext();
    }
  }

  /** @param {string} address */
  #pause(address) {
    const failures = this.#failures.get(address) ?? 0;
    this.#failures.set(address, failures + 1);
    this.#paused.add(address);
    const resume = () => {
      this.#paused.delete(address);
      this.#loadNext();
    };
    setTimeout(resume, Math.min(RETRY_MS * 2 ** failures, LARGEST_RETRY_MS));
  }

  #forgetOldest() {
    const needed = new Set(this.#needed.map(({ address }) => address));
    let pixels = 0;
    for (const { image } of this.#loaded.values()) pixels += image.width * image.height;
    for (const [address, { image }] of this.#loaded) {
      if (pixels <= CACHE_PIXELS) return;
      if (needed.has(address)) continue;
      pixels -= image.width * image.height;
      this.#loaded.delete(address);
    }
  }
}
