"""Make the before/after images of the presets on the page: `python docs/make_examples.py [FOLDER]`.

The left half is bicubic upscaling, the right half the preset. Presets whose models are not installed are skipped. The
photos are the examples of the page, one of them with simulated haze, and a drawing made here. FOLDER contains the two
networks of `fast` as ncnn files, for computers that cannot reach Hugging Face.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from enhance import EnhanceError, Enhancer, Settings
from tests.fast_network import fast_states, use_fast_states

EXAMPLES = Path(__file__).parents[1] / "enhance" / "web" / "examples"
HEIGHT, WIDTH = 72, 160
log = logging.getLogger(__name__)


def photo(name: str, left: int, top: int, smaller: int = 1) -> np.ndarray:
    """Return a part of an example photo, downscaled by `smaller`, as RGB [72, 160, 3]."""
    with Image.open(EXAMPLES / f"{name}.jpg") as image:
        whole = np.asarray(image.convert("RGB").reduce(smaller))
    return whole[top : top + HEIGHT, left : left + WIDTH]


def hazed(image: np.ndarray) -> np.ndarray:
    """Return the image under a haze that gets denser towards the top."""
    veil = np.linspace(0.75, 0.45, HEIGHT)[:, None, None]
    return np.rint(image * (1 - veil) + 228 * veil).astype(np.uint8)


def drawing() -> np.ndarray:
    """Return a drawing of a face with lines and flat colours, slightly soft."""
    large = np.full((4 * HEIGHT, 4 * WIDTH, 3), (250, 226, 200), np.uint8)
    for centre in (130, 450):
        cv2.ellipse(large, (centre, 150), (70, 84), 0, 0, 360, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.ellipse(large, (centre, 165), (46, 66), 0, 0, 360, (60, 130, 190), -1, cv2.LINE_AA)
        cv2.ellipse(large, (centre, 172), (22, 36), 0, 0, 360, (20, 30, 60), -1, cv2.LINE_AA)
        cv2.circle(large, (centre + 20, 130), 16, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.ellipse(large, (centre, 150), (72, 86), 0, 190, 350, (40, 24, 30), 11, cv2.LINE_AA)
        cv2.ellipse(large, (centre, 70), (80, 26), 0, 200, 340, (90, 50, 40), 9, cv2.LINE_AA)
    for place in range(0, 4 * WIDTH, 46):
        cv2.line(large, (place, 0), (place - 34, 46), (90, 50, 40), 7, cv2.LINE_AA)
    return cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def main(folder: Path | None = None) -> None:
    states = fast_states(folder.joinpath) if folder else {}
    with use_fast_states(states):
        make_all()


def make_all() -> None:
    coffee, cat, astronaut = photo("coffee", 110, 150), photo("cat", 60, 90), photo("astronaut", 90, 40)
    drawn = drawing()
    images = {
        "auto": photo("coffee", 110, 150),
        "gentle": cat,
        "original": cat,
        "fast": cat,
        "precise": photo("coffee", 16, 30, smaller=2),
        "face": astronaut,
        "anime": drawn,
        "anime-fast": drawn,
        "dehaze": hazed(coffee),
    }
    (EXAMPLES / "presets").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        enhancer = Enhancer(data=folder)
        for name, original in images.items():
            source = Path(folder) / "source.png"
            Image.fromarray(original).save(source)
            try:
                with Image.open(enhancer.run(source, Settings.from_preset(name)).path) as image:
                    after = np.asarray(image)
            except EnhanceError as error:
                log.warning("%s: %s", name, error)
                continue
            before = cv2.resize(original, (4 * WIDTH, 4 * HEIGHT), interpolation=cv2.INTER_CUBIC)
            middle = 2 * WIDTH
            both = np.hstack([before[:, :middle], np.full((4 * HEIGHT, 4, 3), 255, np.uint8), after[:, middle:]])
            Image.fromarray(both).save(EXAMPLES / "presets" / f"{name}.jpg", quality=86, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
