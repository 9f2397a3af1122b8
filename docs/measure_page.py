"""Response times of the page with a photo of 24 megapixels: `make page`.

It needs the dependencies of the browser tests. The times are those of a running server with a
loaded quick model, in a window of 1280 × 800 px:

- from the navigation to the first paint, and to the first click that has an effect
- from the end of the upload to the photo and to the first enhanced region on the stage
- from a movement of a slider to the preview with its value
- from a key press, a turn of the wheel or a movement of the pointer to the next drawn frame
- the share of the stage's shorter side that the first region fills
- whether a pixel of the region is a device pixel at 1:1
- the plan of a known photo, and a preview of a known region with another value of a slider, both
  over HTTP
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from gradio_client import Client, handle_file
from PIL import Image
from playwright.sync_api import Locator, Page, sync_playwright
from skimage import data

from docs.measure_start import served_app
from tests.progress import Progress
from tests.ui.conftest import CHROMIUM

WIDTH, HEIGHT = 6000, 4000
_NOISE, _QUALITY = 3, 92
_PATIENCE = 180_000
_VIEW = 310, 150
"""What a stage of 1240 × 600 px shows at 1:1 of a result at 4x, in pixels of the photo."""
_LIMITS = {"analyse": 72, "preview": 122}
"""Twice the milliseconds that a prototype of the page needed on two cores."""
_SLIDER_STEPS = 15
_SLIDES = 7
_IS_DRAWN = """() => document.querySelector("#chip").dataset.state === "matches"
  && !window.enhance.stage().isLoading"""
_WATCH = """
const seen = (window.seen = { delays: [] });
const look = () => {
  const now = performance.now();
  const tab = document.querySelector("#tab-batch");
  const isOpen = tab?.getAttribute("aria-selected") === "true";
  if (isOpen) seen.click ??= now;
  if (tab && !seen.click) tab.click();
  const stage = window.enhance?.stage?.();
  if (stage?.photo) seen.photo ??= now;
  if (stage?.previews) seen.region ??= now;
  requestAnimationFrame(look);
};
requestAnimationFrame(look);
for (const type of ["keydown", "wheel", "pointermove"]) {
  addEventListener(type, ({ timeStamp }) => {
    const drawn = () => seen.delays.push(performance.now() - timeStamp);
    // The stage draws in the same frame, before this timer.
    requestAnimationFrame(() => setTimeout(drawn));
  }, { capture: true, passive: true });
}
"""
_PAINTED = """performance.getEntriesByName("first-contentful-paint")"""
_HAS_PAINTED = f"{_PAINTED}.length"
_FIRST_PAINT = f"{_PAINTED}[0].startTime / 1000"
_TIMES = """() => {
  const loaded = performance.getEntriesByType("resource");
  const uploads = loaded.filter(({ name }) => name.includes("/upload"));
  const ended = Math.max(...uploads.map(({ responseEnd }) => responseEnd));
  return [window.seen.photo, window.seen.region].map((time) => (time - ended) / 1000);
}"""
_FILLS = """() => {
  const [, , width, height] = window.enhance.state.preview.window;
  const canvas = document.querySelector("#stage canvas");
  const shorter = Math.min(canvas.width, canvas.height);
  return Math.min(shorter, window.enhance.stage().zoom * Math.min(width, height)) / shorter;
}"""
_EQUALS = """async () => {
  const { state } = window.enhance;
  const { preview } = state;
  const view = window.enhance.stage();
  const plan = state.plans[preview.file];
  const shown = document.querySelector("#stage canvas");
  const image = new Image();
  image.src = preview.after;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext("2d").drawImage(image, 0, 0);
  const scale = plan.result.width / plan.photo.width;
  const left = Math.round(shown.width / 2 - view.x * scale);
  const top = Math.round(shown.height / 2 - view.y * scale);
  const [x, y, side] = [Math.round(shown.width / 2) + 40, Math.round(shown.height / 2) - 64, 128];
  const pixels = (one, ...at) => one.getContext("2d").getImageData(...at, side, side).data;
  const stage = pixels(shown, x, y);
  const region = pixels(canvas, x - left - preview.window[0], y - top - preview.window[1]);
  return stage.every((value, place) => value === region[place]);
}"""
_SLIDE = """async (value) => {
  const shown = () => window.enhance.state.preview?.after;
  const isDrawn = () => document.querySelector("#chip").dataset.state === "matches";
  const range = document.querySelector("#contrast input[type=range]");
  const before = shown();
  const started = performance.now();
  range.value = value;
  range.dispatchEvent(new Event("input", { bubbles: true }));
  while (shown() === before || !isDrawn()) await new Promise(requestAnimationFrame);
  return (performance.now() - started) / 1000;
}"""
"""The seconds from the movement of a slider to the preview with its value, which include the pause
after it."""


@dataclass(frozen=True)
class Response:
    """Times in s, delays in ms, and whether the pixels of the region are device pixels.

    `paint` and `click` begin with the navigation, `photo` and `region` with the end of the upload.
    """

    paint: float
    click: float
    photo: float
    region: float
    fills: float
    is_exact: bool
    slides: list[float]
    delays: list[float]

    def __str__(self) -> str:
        delays = "{:.0f} ms, 90% within {:.0f} ms".format(*np.quantile(self.delays, (0.5, 0.9)))
        return (
            f"first paint {self.paint:.2f} s, first working click {self.click:.2f} s, "
            f"photo {self.photo:.2f} s, first enhanced region {self.region:.2f} s after the "
            f"upload, "
            f"{100 * self.fills:.0f}% of the shorter side, pixels "
            f"{'equal' if self.is_exact else 'DIFFERENT'}, "
            f"slider {np.median(self.slides):.2f} s, pan and zoom {delays}, load "
            f"{os.getloadavg()[0]:.1f}"
        )


def large_photo(path: Path) -> Path:
    """Write a photo of 24 megapixels with noise as JPEG."""
    image = Image.fromarray(data.coffee()).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    noise = np.random.default_rng(1).normal(0, _NOISE, (HEIGHT, WIDTH, 3)).astype(np.float32)
    Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8)).save(
        path, quality=_QUALITY
    )
    return path


def measure(page: Page, url: str, photo: Path) -> Response:
    """Upload the photo on a new page, pan and zoom it, and move a slider."""
    page.add_init_script(_WATCH)
    page.goto(url)
    page.wait_for_function("window.seen.click", timeout=_PATIENCE)
    page.wait_for_function(_HAS_PAINTED, timeout=_PATIENCE)
    paint, click = page.evaluate(_FIRST_PAINT), page.evaluate("window.seen.click / 1000")
    page.locator("#tab-single").click()
    photo.write_bytes(photo.read_bytes() + b"0")  # Nothing is known about a new file.
    page.locator("#upload-input").set_input_files(photo)
    page.wait_for_function("window.seen.region", timeout=_PATIENCE)
    photo_seconds, region_seconds = page.evaluate(_TIMES)
    page.wait_for_function(_IS_DRAWN, timeout=_PATIENCE)
    fills, is_exact = page.evaluate(_FILLS), page.evaluate(_EQUALS)
    delays = pan_and_zoom(page, page.locator("#stage canvas"))
    page.wait_for_function(_IS_DRAWN, timeout=_PATIENCE)
    page.locator("#tuning-fold > button").click()
    page.locator("#contrast input[type=range]").wait_for()
    slides = [page.evaluate(_SLIDE, 1.05 + step / 100) for step in range(_SLIDES)]
    return Response(paint, click, photo_seconds, region_seconds, fills, is_exact, slides, delays)


def pan_and_zoom(page: Page, canvas: Locator) -> list[float]:
    """Return the delays in ms from key presses, turns of the wheel and movements to the next
    frame."""
    rect = canvas.bounding_box()
    assert rect is not None
    canvas.focus()
    page.evaluate("window.seen.delays = []")
    for key in (
        "ArrowRight",
        "ArrowDown",
        "+",
        "-",
        "0",
        "1",
        "Shift+ArrowLeft",
        "Shift+ArrowRight",
    ):
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
    delays: list[float] = page.evaluate("window.seen.delays")
    return delays


def call(client: httpx.Client, endpoint: str, **given: Any) -> tuple[float, list[Any]]:
    """Call an endpoint; return the seconds and the outputs."""
    started = time.perf_counter()
    route = f"gradio_api/call/v2/{endpoint}"
    event = client.post(route, json=given).json()["event_id"]
    events = client.get(f"{route}/{event}").text
    seconds = time.perf_counter() - started
    return seconds, json.loads(events.rpartition("data: ")[2])


def interactions(url: str, photo: Path) -> str:
    """Return the times of plans and previews for a photo that the server knows."""
    headers = {"x-enhance-key": secrets.token_hex(16)}
    with httpx.Client(base_url=url, headers=headers, timeout=_PATIENCE / 1000) as client:
        path = client.post("gradio_api/upload", files={"files": photo.open("rb")}).json()[0]
        image = {"path": path, "meta": {"_type": "gradio.FileData"}}
        _, (plan,) = call(client, "analyse", image=image)
        x, y = (
            round(share * side)
            for share, side in zip(plan["photo"]["focus"], (WIDTH, HEIGHT), strict=True)
        )
        view = dict(zip(("left", "top", "width", "height"), (x - 155, y - 75, *_VIEW), strict=True))
        call(client, "preview", image=image, **view)
        times: dict[str, list[float]] = {name: [] for name in _LIMITS}
        for step in range(_SLIDER_STEPS):
            given = {"image": image, "contrast": 1.01 + step / 100}
            for name, more in (("analyse", {}), ("preview", view)):
                seconds, _ = call(client, name, **given, **more)
                times[name].append(1000 * seconds)
    texts = [
        f"{name} {np.median(times[name]):.0f} ms (limit {limit} ms)"
        for name, limit in _LIMITS.items()
    ]
    return f"known photo: {', '.join(texts)}, load {os.getloadavg()[0]:.1f}"


def main() -> None:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    progress = Progress(2 + times)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        with progress.part("a photo of 24 MP"):
            photo, small = large_photo(folder / "photo.jpg"), folder / "small.png"
            Image.fromarray(data.coffee()[:96, :96]).save(small)
        with served_app([sys.executable, "app.py"], folder) as (url, _):
            with progress.part("plans and previews"):
                Client(url, verbose=False).predict(
                    image=handle_file(small), preset="precise", api_name="/preview"
                )
                sys.stdout.write(f"{interactions(url, photo)}\n")
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            for _ in range(times):
                with progress.part("page"):
                    page = browser.new_page(viewport={"width": 1280, "height": 800})
                    sys.stdout.write(f"{measure(page, url, photo)}\n")
                    sys.stdout.flush()
                    page.close()
            browser.close()


if __name__ == "__main__":
    main()
