"""Response times of the page with a photo of 24 megapixels: `make page`.

It needs the dependencies of the browser tests. The times are those of a running server with a loaded quick model, in a
window of 1280 × 800 px:

- from the end of the upload to the photo and to the first enhanced region on the stage
- from a key press, a turn of the wheel or a movement of the pointer to the next drawn frame
- the share of the stage's shorter side that the first region fills
- whether a pixel of the region is a device pixel at 1:1
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gradio_client import Client, handle_file
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from skimage import data

from docs.measure_start import served_app
from tests.ui.conftest import CHROMIUM

WIDTH, HEIGHT = 6000, 4000
_NOISE, _QUALITY = 3, 92
_PATIENCE = 180_000
_WATCH = """() => {
  const seen = (window.seen = { delays: [] });
  const look = () => {
    const view = window.enhanceView?.();
    if (view?.photo) seen.photo ??= performance.now();
    if (view?.layers.after) seen.region ??= performance.now();
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
  for (const type of ["keydown", "wheel", "pointermove"]) {
    addEventListener(type, ({ timeStamp }) => {
      const drawn = () => seen.delays.push(performance.now() - timeStamp);
      requestAnimationFrame(() => setTimeout(drawn));  // The stage draws in the same frame, before this timer.
    }, { capture: true, passive: true });
  }
}"""
_TIMES = """() => {
  const uploads = performance.getEntriesByType("resource").filter(({ name }) => name.includes("/upload?"));
  const ended = Math.max(...uploads.map(({ responseEnd }) => responseEnd));
  return [window.seen.photo, window.seen.region].map((time) => (time - ended) / 1000);
}"""
_FILLS = """() => {
  const { window: at } = JSON.parse(document.querySelector("[data-preview]").dataset.preview);
  const canvas = document.querySelector("#viewer canvas"), shorter = Math.min(canvas.width, canvas.height);
  return Math.min(shorter, window.enhanceView().zoom * Math.min(at[2], at[3])) / shorter;
}"""
_EQUALS = """async () => {
  const preview = JSON.parse(document.querySelector("[data-preview]").dataset.preview), view = window.enhanceView();
  const photo = JSON.parse(document.querySelector("[data-photo]").dataset.photo);
  const shown = document.querySelector("#viewer canvas");
  const image = new Image();
  image.src = preview.after;
  await image.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
  canvas.getContext("2d").drawImage(image, 0, 0);
  const scale = preview.size[0] / photo.size[0];
  const left = Math.round(shown.width / 2 - view.x * scale), top = Math.round(shown.height / 2 - view.y * scale);
  const [x, y, side] = [Math.round(shown.width / 2) + 40, Math.round(shown.height / 2) - 64, 128];
  const pixels = (one, ...at) => one.getContext("2d").getImageData(...at, side, side).data;
  const stage = pixels(shown, x, y), region = pixels(canvas, x - left - preview.window[0], y - top - preview.window[1]);
  return stage.every((value, place) => value === region[place]);
}"""


@dataclass(frozen=True)
class Response:
    """Times of the photo and the region in s, delays in ms, and whether the pixels of the region are device pixels."""

    photo: float
    region: float
    fills: float
    is_exact: bool
    delays: list[float]

    def __str__(self) -> str:
        delays = "{:.0f} ms, 90% within {:.0f} ms".format(*np.quantile(self.delays, (0.5, 0.9)))
        return (
            f"photo {self.photo:.2f} s, first enhanced region {self.region:.2f} s after the upload, "
            f"{100 * self.fills:.0f}% of the shorter side, pixels {'equal' if self.is_exact else 'DIFFERENT'}, "
            f"pan and zoom {delays}, load {os.getloadavg()[0]:.1f}"
        )


def large_photo(path: Path) -> Path:
    """Write a photo of 24 megapixels with noise as JPEG."""
    image = Image.fromarray(data.coffee()).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    noise = np.random.default_rng(1).normal(0, _NOISE, (HEIGHT, WIDTH, 3)).astype(np.float32)
    Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8)).save(path, quality=_QUALITY)
    return path


def measure(page: Page, url: str, photo: Path) -> Response:
    """Upload the photo on a new page, and pan and zoom it."""
    page.goto(url)
    page.locator("body.opened").wait_for()
    page.evaluate(_WATCH)
    photo.write_bytes(photo.read_bytes() + b"0")  # Nothing is known about a new file.
    page.locator("#upload input[type=file]").set_input_files(photo)
    page.wait_for_function("window.seen.region", timeout=_PATIENCE)
    times, fills, is_exact = (page.evaluate(script) for script in (_TIMES, _FILLS, _EQUALS))
    canvas = page.locator("#viewer canvas")
    rect = canvas.bounding_box()
    assert rect is not None
    canvas.focus()
    page.evaluate("window.seen.delays = []")
    for key in ("ArrowRight", "ArrowDown", "+", "-", "0", "1", "Shift+ArrowLeft", "Shift+ArrowRight"):
        page.keyboard.press(key)
        page.wait_for_timeout(400)
    x, y = rect["x"] + 0.3 * rect["width"], rect["y"] + 0.4 * rect["height"]
    page.mouse.move(x, y)
    for turn in (-100, -100, 100, 300, -200):
        page.mouse.wheel(0, turn)
        page.wait_for_timeout(300)
    page.mouse.down()
    page.mouse.move(x + 200, y + 100, steps=20)
    page.mouse.up()
    page.wait_for_timeout(300)
    return Response(*times, fills, is_exact, page.evaluate("window.seen.delays"))


def main() -> None:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        photo, small = large_photo(folder / "photo.jpg"), folder / "small.png"
        Image.fromarray(data.coffee()[:96, :96]).save(small)
        with served_app([sys.executable, "app.py"], folder) as (url, _):
            Client(url, verbose=False).predict(image=handle_file(small), preset="precise", api_name="/preview")
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            for _ in range(times):
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                sys.stdout.write(f"{measure(page, url, photo)}\n")
                sys.stdout.flush()
                page.close()
            browser.close()


if __name__ == "__main__":
    main()
