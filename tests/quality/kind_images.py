"""Images of a known kind for the table of kinds: photos, cut-outs, drawings, pages and screenshots.

Everything comes from packages that the tests need anyway, or is drawn here. The thresholds were
chosen on other images, except that of the constant areas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import gradio
import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont
from skimage import data

Pixels = np.ndarray
"""uint8 [H, W, 3] RGB."""

Colour = tuple[int, int, int]

_GRADIO = Path(gradio.__file__).parent
_GRADIO_IMAGES = _GRADIO / "media_assets" / "images"
_MATPLOTLIB = Path(mpl.get_data_path())
_SAMPLES = _MATPLOTLIB / "sample_data"
_FONTS = _MATPLOTLIB / "fonts" / "ttf"
_DRAWN_AT = 4
"""Drawings are drawn this many times larger, and averaged down, so that their edges are smooth."""
_INK, _WHITE = (25, 22, 30), (255, 255, 255)


def _read(path: Path) -> Pixels:
    with Image.open(path) as image:
        rgba = image.convert("RGBA")
    ground = Image.new("RGBA", rgba.size, _WHITE)
    return np.asarray(Image.alpha_composite(ground, rgba).convert("RGB"))


def _in_colour(grey: np.ndarray) -> Pixels:
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)


def _scenes() -> dict[str, Pixels]:
    """Return whole photos by name."""
    colour = (
        "astronaut",
        "chelsea",
        "coffee",
        "hubble_deep_field",
        "immunohistochemistry",
        "retina",
        "rocket",
    )
    grey = ("brick", "camera", "cell", "coins", "grass", "gravel", "moon")
    return {
        **{name: getattr(data, name)() for name in colour},
        **{name: _in_colour(getattr(data, name)()) for name in grey},
        "motorcycle": data.stereo_motorcycle()[0],
        "hopper": _read(_SAMPLES / "grace_hopper.jpg"),
        "cheetah": _read(_GRADIO_IMAGES / "cheetah.jpg"),
        "cheetah face": _read(_GRADIO_IMAGES / "cheetah1.jpg"),
        "lion": _read(_GRADIO_IMAGES / "lion.jpg"),
        "tower": _read(_GRADIO_IMAGES / "tower.jpg"),
        "groot": _read(_GRADIO_IMAGES / "groot.jpeg"),
        "cub": _read(_GRADIO / "test_data" / "cheetah2.jpg"),
    }


CROPPED = ("astronaut", "coffee", "motorcycle", "retina", "rocket", "camera", "hopper", "groot")
"""The photos whose quarters are also tested. Each quarter shows a different part of the scene."""


def photos() -> Iterator[Pixels]:
    """Return 22 photos, and the quarters of 8 of them."""
    scenes = _scenes()
    yield from scenes.values()
    for name in CROPPED:
        scene = scenes[name]
        half_height, half_width = scene.shape[0] // 2, scene.shape[1] // 2
        for top in (0, half_height):
            for left in (0, half_width):
                yield scene[top : top + half_height, left : left + half_width]


OBJECTS: dict[str, tuple[int, int, int, int]] = {
    "astronaut": (40, 10, 410, 500),
    "motorcycle": (50, 60, 620, 400),
    "coffee": (150, 20, 330, 310),
    "camera": (80, 60, 330, 440),
    "hopper": (50, 10, 430, 585),
    "cheetah face": (20, 8, 225, 246),
    "tower": (60, 5, 300, 590),
    "cheetah": (75, 90, 320, 170),
    "chelsea": (90, 5, 330, 290),
    "groot": (260, 5, 380, 500),
    "retina": (40, 40, 1330, 1330),
    "cub": (20, 40, 720, 735),
}
"""The rectangle [left, top, width, height] around the object of a photo."""
PARTS: dict[str, tuple[str, tuple[slice, slice], tuple[int, int, int, int]]] = {
    "helmet": ("astronaut", np.s_[280:, 300:], (10, 15, 195, 216)),
    "wheel": ("motorcycle", np.s_[200:480, 30:330], (15, 10, 270, 260)),
    "tank": ("motorcycle", np.s_[120:400, 230:520], (10, 10, 270, 260)),
    "saucer": ("coffee", np.s_[200:, 120:560], (5, 5, 430, 190)),
}
"""Objects in a part of a photo: its name, the part, and the rectangle in the part."""


def cut_outs() -> Iterator[Pixels]:
    """Return 16 objects, each on white, on light grey with a soft edge, and on white with a shadow
    or on black."""
    scenes = _scenes()
    objects = [(scenes[name], box) for name, box in OBJECTS.items()]
    objects += [(scenes[name][part], box) for name, part, box in PARTS.values()]
    for number, (scene, box) in enumerate(objects):
        rgb, mask = _object(scene, box)
        yield _placed(rgb, mask, ground=255, edge=0.7)
        yield _placed(rgb, mask, ground=236, edge=2.5)
        if number % 2:
            yield _placed(rgb, mask, ground=0, edge=0.7)
        else:
            yield _placed(rgb, mask, ground=255, edge=0.7, shadow=0.35)


def _object(scene: Pixels, box: tuple[int, int, int, int]) -> tuple[Pixels, np.ndarray]:
    """Return an object with a margin, and its mask, 0 or 1, from GrabCut."""
    if max(scene.shape) > 1000:
        scene = cv2.resize(scene, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        left, top, width, height = box
        box = left // 2, top // 2, width // 2, height // 2
    cv2.setRNGSeed(1)
    labels = np.zeros(scene.shape[:2], np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(np.ascontiguousarray(scene), labels, box, *models, 3, cv2.GC_INIT_WITH_RECT)
    is_object = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    _, parts, shapes, _ = cv2.connectedComponentsWithStats(is_object)
    largest = 1 + int(shapes[1:, cv2.CC_STAT_AREA].argmax())
    left, top, width, height = shapes[largest, :4]
    margin = max(width, height) // 8
    inside = np.s_[top : top + height, left : left + width]
    mask = np.pad((parts == largest)[inside].astype(np.float32), margin)
    rgb = np.pad(scene[inside], ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    return rgb, mask


def _placed(rgb: Pixels, mask: np.ndarray, ground: int, edge: float, shadow: float = 0.0) -> Pixels:
    """Return an object on a grey level. The mask is blurred by `edge` px. A `shadow` is soft, and
    darker if larger."""
    alpha = cv2.GaussianBlur(mask, (0, 0), edge)[..., None]
    moved = np.roll(mask, (mask.shape[0] // 24, mask.shape[1] // 40), (0, 1))
    darkness = shadow * cv2.GaussianBlur(moved, (0, 0), max(mask.shape) / 40)[..., None]
    return np.rint(alpha * rgb + (1 - alpha) * ground * (1 - darkness)).astype(np.uint8)


class _Canvas:
    """A canvas for drawings in coordinates of 0 to 100, whose lines and edges are smooth."""

    def __init__(self, width: int, height: int, ground: Colour = _WHITE) -> None:
        self.image = Image.new("RGB", (_DRAWN_AT * width, _DRAWN_AT * height), ground)
        self.draw = ImageDraw.Draw(self.image)
        self.unit = _DRAWN_AT * min(width, height) / 100

    def points(self, *coordinates: float) -> list[float]:
        return [one * self.unit for one in coordinates]

    def ellipse(
        self, x: float, y: float, w: float, h: float, fill: Colour | None, line: float = 1.0
    ) -> None:
        box = self.points(x - w, y - h, x + w, y + h)
        self.draw.ellipse(
            box, fill=fill, outline=_INK if line else None, width=round(line * self.unit)
        )

    def polygon(self, *coordinates: float, fill: Colour | None, line: float = 1.0) -> None:
        corners = self.points(*coordinates)
        self.draw.polygon(corners, fill=fill)
        if line:
            self.draw.line(
                corners + corners[:4], fill=_INK, width=round(line * self.unit), joint="curve"
            )

    def line(self, *coordinates: float, width: float = 1.0, colour: Colour = _INK) -> None:
        self.draw.line(
            self.points(*coordinates), fill=colour, width=round(width * self.unit), joint="curve"
        )

    def text(
        self, x: float, y: float, text: str, size: float, fill: Colour, font: str = "DejaVuSans"
    ) -> None:
        face = ImageFont.truetype(_FONTS / f"{font}.ttf", round(size * self.unit))
        self.draw.text((x * self.unit, y * self.unit), text, fill=fill, font=face, anchor="mm")

    def pixels(self) -> Pixels:
        return np.asarray(self.image.reduce(_DRAWN_AT))


def _colours(random: np.random.Generator, count: int) -> list[Colour]:
    """Return bright colours that differ."""
    hue = (random.uniform() + np.arange(count) / count) % 1 * 179
    hsv = np.stack([hue, random.uniform(110, 240, count), random.uniform(150, 250, count)], -1)
    rgb = cv2.cvtColor(hsv.astype(np.uint8)[None], cv2.COLOR_HSV2RGB)[0]
    return [(int(red), int(green), int(blue)) for red, green, blue in rgb]


def _landscape(random: np.random.Generator) -> Pixels:
    """Draw a sun, hills, a house and trees with outlines."""
    sky, sun, hill, wall, roof, leaf = _colours(random, 6)
    canvas = _Canvas(480, 320, sky)
    canvas.ellipse(random.uniform(15, 130), 18, 11, 11, sun)
    for x in random.uniform(0, 150, 3):
        canvas.ellipse(x, 105, 60, 40, hill)
    x = random.uniform(40, 90)
    canvas.polygon(x, 90, x, 62, x + 30, 62, x + 30, 90, fill=wall)
    canvas.polygon(x - 5, 62, x + 15, 42, x + 35, 62, fill=roof)
    canvas.polygon(x + 12, 90, x + 12, 72, x + 20, 72, x + 20, 90, fill=_INK)
    for x in random.uniform(5, 145, 3):
        canvas.polygon(x - 2, 95, x - 2, 75, x + 2, 75, x + 2, 95, fill=(120, 80, 50))
        canvas.ellipse(x, 68, 9, 12, leaf)
    return canvas.pixels()


def _face(random: np.random.Generator) -> Pixels:
    """Draw the face of a cartoon figure on white."""
    skin, hair, shirt, lips = _colours(random, 4)
    canvas = _Canvas(360, 360)
    canvas.ellipse(50, 108, 42, 30, shirt, 1.5)
    canvas.ellipse(50, 45, 32, 34, hair, 1.5)
    canvas.ellipse(50, 54, 26, 30, skin, 1.5)
    for x in (40, 60):
        canvas.ellipse(x, 50, 6, 7, _WHITE)
        canvas.ellipse(x + random.uniform(-2, 2), 51, 2.5, 3, _INK)
        canvas.line(x - 6, 39, x + 6, 38, width=2)
    canvas.line(50, 54, 47, 64, 51, 64, width=1)
    canvas.ellipse(50, 73, random.uniform(5, 10), 3.5, lips)
    return canvas.pixels()


def _logo(random: np.random.Generator) -> Pixels:
    """Draw shapes without outlines and large letters."""
    colours = _colours(random, 4)
    canvas = _Canvas(400, 300, _WHITE if random.uniform() < 0.6 else colours[3])
    for number, colour in enumerate(colours[:3]):
        angle = 2 * np.pi * number / 3 + random.uniform()
        canvas.ellipse(66 + 20 * np.cos(angle), 42 + 20 * np.sin(angle), 20, 20, colour, 0)
    letters = "".join(random.choice(list("ABEKMQRSZ"), 2))
    canvas.text(66, 42, letters, 30, _INK, "DejaVuSans-Bold")
    return canvas.pixels()


def _chart(random: np.random.Generator, form: int) -> Pixels:
    """Draw a chart without labels."""
    figure = Figure((4.8, 3.6), dpi=100)
    axes = figure.subplots()
    axes.set(xticklabels=(), yticklabels=())
    colours = [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in _colours(random, 6)]
    x = np.linspace(0, 6, 60)
    if form == 0:
        axes.bar(range(6), random.uniform(1, 5, 6), color=colours, edgecolor="black")
    elif form == 1:
        axes.pie(
            random.uniform(1, 3, 6),
            colors=colours,
            wedgeprops={"edgecolor": "white", "linewidth": 2},
        )
    elif form == 2:
        axes.stackplot(
            x, [2 + np.sin(x * rate) for rate in random.uniform(0.5, 2, 4)], colors=colours
        )
    elif form == 3:
        axes.barh(range(9), random.uniform(1, 5, 9), color=colours[0])
        axes.grid(True)
    elif form == 4:
        axes.pcolormesh(
            random.integers(0, 8, (9, 12)), cmap="tab10", edgecolors="white", linewidth=2
        )
    else:
        for colour in colours:
            axes.plot(x, np.cumsum(random.normal(0, 1, 60)), color=colour, linewidth=3)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _symbols(random: np.random.Generator) -> Pixels:
    """Draw symbols of a font on coloured buttons."""
    ground, *colours = _colours(random, 7)
    canvas = _Canvas(360, 240, _WHITE if random.uniform() < 0.5 else ground)
    symbols = random.choice(list("☂♞✈☎♻⚓☀☁★☯♥♫⚡✂✿☃♛⚙"), 6, replace=False)
    for place, (symbol, colour) in enumerate(zip(symbols, colours, strict=True)):
        x, y = 27 + 48 * (place % 3), 27 + 46 * (place // 3)
        canvas.draw.rounded_rectangle(
            canvas.points(x - 19, y - 19, x + 19, y + 19), 4 * canvas.unit, fill=colour
        )
        canvas.text(x, y, symbol, 26, _WHITE if place % 2 else _INK)
    return canvas.pixels()


def _emblem(random: np.random.Generator) -> Pixels:
    """Draw one large symbol of a font in one colour on white."""
    canvas = _Canvas(256, 256)
    symbol = random.choice(list("♞✈☎♻⚓☃♛⚙☂"))
    canvas.text(50, 50, symbol, 85, _colours(random, 1)[0] if random.uniform() < 0.5 else _INK)
    return canvas.pixels()


def _line_art(random: np.random.Generator) -> Pixels:
    """Draw curves of one colour on white."""
    canvas = _Canvas(400, 400)
    angle = np.linspace(0, 2 * np.pi, 1500)
    for radius in random.uniform(15, 44, 3):
        petals, depth = random.integers(3, 9), random.uniform(0.1, 0.5)
        distance = radius * (1 - depth + depth * np.cos(petals * angle))
        curve = np.stack([50 + distance * np.cos(angle), 50 + distance * np.sin(angle)], -1)
        canvas.line(*curve.ravel(), width=random.uniform(0.6, 1.8))
    for x, y, width, height in random.uniform((15, 15, 4, 4), (85, 85, 14, 14), (4, 4)):
        canvas.ellipse(x, y, width, height, None)
    return canvas.pixels()


def _comic(random: np.random.Generator) -> Pixels:
    """Draw panels with figures in two tones each, and speech bubbles."""
    canvas = _Canvas(480, 360)
    for column in range(2):
        for row in range(2):
            ground, coat, skin, _ = _colours(random, 4)
            x, y = 3 + 66 * column, 3 + 48 * row
            canvas.polygon(x, y, x + 62, y, x + 62, y + 44, x, y + 44, fill=ground, line=1.5)
            middle = x + random.uniform(15, 30)
            canvas.polygon(
                middle - 9,
                y + 43,
                middle - 5,
                y + 24,
                middle + 5,
                y + 24,
                middle + 9,
                y + 43,
                fill=coat,
            )
            shade = int(0.7 * coat[0]), int(0.7 * coat[1]), int(0.7 * coat[2])
            canvas.polygon(
                middle + 1,
                y + 43,
                middle + 1,
                y + 24,
                middle + 5,
                y + 24,
                middle + 9,
                y + 43,
                fill=shade,
            )
            canvas.ellipse(middle, y + 17, 7, 8, skin)
            canvas.ellipse(middle + 3, y + 16, 1.2, 1.8, _INK, 0)
            canvas.ellipse(x + 47, y + 12, 12, 8, _WHITE)
    return canvas.pixels()


def _map(random: np.random.Generator) -> Pixels:
    """Draw countries in flat colours with borders, rivers and cities."""
    side = 380
    seeds = random.uniform(0, side, (14, 2)).astype(np.float32)
    noise = cv2.GaussianBlur(random.normal(0, 1, (2, side, side)).transpose(1, 2, 0), (0, 0), 9)
    place = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1) + 12 * noise / noise.std()
    country = np.linalg.norm(place[:, :, None] - seeds, axis=-1).argmin(2).astype(np.uint8)
    fine = cv2.resize(country, None, fx=_DRAWN_AT, fy=_DRAWN_AT, interpolation=cv2.INTER_NEAREST)
    fine = cv2.medianBlur(fine, 9)
    border = cv2.morphologyEx(fine, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)) > 0
    rgb = np.array(_colours(random, 14), np.uint8)[fine]
    rgb[border] = _INK
    canvas = _Canvas(side, side)
    canvas.image.paste(Image.fromarray(rgb))
    canvas.line(*(random.uniform(5, 95, 12)), width=1.2, colour=(40, 90, 220))
    for x, y in random.uniform(8, 92, (9, 2)):
        canvas.ellipse(x, y, 1.5, 1.5, (220, 30, 30), 0.4)
    return canvas.pixels()


def drawings() -> Iterator[Pixels]:
    """Return drawings in flat colours or lines: 5 from packages and 45 drawn here."""
    yield _read(_GRADIO_IMAGES / "hf-logo_transpng.png")
    yield _read(_SAMPLES / "Minduka_Present_Blue_Pack.png")
    yield _read(_SAMPLES / "logo2.png")
    yield np.asarray(Image.fromarray(data.logo()).convert("RGB"))
    yield _in_colour(data.horse().astype(np.uint8) * 255)
    styles = (_landscape, _face, _logo, _symbols, _emblem, _line_art, _comic, _map)
    for seed in range(5):
        random = np.random.default_rng(seed)
        for style in styles:
            yield style(random)
        yield _chart(random, seed)


def shaded_drawings() -> Iterator[Pixels]:
    """Return comics and figures whose areas have gradients, as from an airbrush."""
    for seed in range(10):
        random = np.random.default_rng(100 + seed)
        flat = (_comic, _face, _landscape)[seed % 3](random)
        height, width = flat.shape[:2]
        angle = random.uniform(0, 2 * np.pi)
        ramp = (
            np.cos(angle) * np.linspace(-1, 1, width)
            + np.sin(angle) * np.linspace(-1, 1, height)[:, None]
        )
        # Each colour has a gradient of its own, so that the outlines remain hard.
        phase = flat.astype(float).sum(2) % 97 / 97
        light = 1 + 0.25 * np.sin(2.5 * ramp + 6 * cv2.medianBlur(phase.astype(np.float32), 5))
        is_white = flat.min(2) > 250
        light[is_white] = 1
        yield np.clip(np.rint(flat * light[..., None]), 0, 255).astype(np.uint8)


_TEXT = (
    "the report of last year shows that most of the items were sent in time and without any "
    "damage while a few of "
    "them had to be returned because their size was wrong or the address could not be found on "
    "the map"
)
_WORDS = _TEXT.split()


def _sentence(random: np.random.Generator, words: int) -> str:
    return " ".join(random.choice(_WORDS, words)).capitalize()


def _page(
    random: np.random.Generator, font: str, size: int, ink: Colour, paper: Colour, columns: int = 1
) -> Pixels:
    """Write paragraphs on paper."""
    image = Image.new("RGB", (620, 700), paper)
    canvas, face = ImageDraw.Draw(image), ImageFont.truetype(_FONTS / f"{font}.ttf", size)
    width = 560 // columns
    for column in range(columns):
        for line in range(640 // (size * 3 // 2)):
            text = _sentence(random, 14)
            while canvas.textlength(text, font=face) > width - 20:
                text = text.rpartition(" ")[0]
            if line % 9 < 8:
                canvas.text(
                    (30 + column * width, 30 + line * size * 3 // 2), text, fill=ink, font=face
                )
    return np.asarray(image)


def _table(random: np.random.Generator, ink: Colour, paper: Colour) -> Pixels:
    """Write a spreadsheet with lines between its cells."""
    image = Image.new("RGB", (640, 480), paper)
    canvas, face = ImageDraw.Draw(image), ImageFont.truetype(_FONTS / "DejaVuSans.ttf", 13)
    line = tuple((3 * one + other) // 4 for one, other in zip(paper, ink, strict=True))
    for row in range(20):
        canvas.line((0, 24 * row, 640, 24 * row), fill=line)
        for column in range(6):
            words = random.choice(_WORDS) if column == 0 else f"{random.uniform(0, 9000):.2f}"
            canvas.text((107 * column + 6, 24 * row + 5), words, fill=ink, font=face)
    for column in range(6):
        canvas.line((107 * column, 0, 107 * column, 480), fill=line)
    return np.asarray(image)


def _window(random: np.random.Generator, is_dark: bool) -> Pixels:
    """Draw the window of a program: a menu, a sidebar, rows, buttons and fields."""
    ground, panel, ink = (
        ((32, 33, 36), (48, 50, 54), (232, 232, 232))
        if is_dark
        else (_WHITE, (241, 243, 246), _INK)
    )
    accent = _colours(random, 1)[0]
    image = Image.new("RGB", (760, 520), ground)
    canvas, face = ImageDraw.Draw(image), ImageFont.truetype(_FONTS / "DejaVuSans.ttf", 14)
    canvas.rectangle((0, 0, 760, 36), fill=accent)
    canvas.text((12, 9), "File   Edit   View   Tools   Window   Help", fill=_WHITE, font=face)
    canvas.rectangle((0, 36, 170, 520), fill=panel)
    for row in range(14):
        canvas.text((16, 52 + 32 * row), _sentence(random, 3)[:17], fill=ink, font=face)
        canvas.text((190, 52 + 32 * row), _sentence(random, 8)[:62], fill=ink, font=face)
    for place, word in enumerate(("Cancel", "Apply", "Save")):
        box = (470 + 92 * place, 480, 550 + 92 * place, 508)
        canvas.rounded_rectangle(box, 5, fill=accent if place == 2 else panel, outline=accent)
        canvas.text(
            (box[0] + 40, 494), word, fill=_WHITE if place == 2 else ink, font=face, anchor="mm"
        )
    return np.asarray(image)


def _code(random: np.random.Generator, is_dark: bool) -> Pixels:
    """Write lines of a program in colours."""
    ground, inks = ((30, 30, 30), [(212, 212, 212), (86, 156, 214), (206, 145, 120)])
    if not is_dark:
        ground, inks = _WHITE, [_INK, (0, 0, 190), (163, 21, 21)]
    image = Image.new("RGB", (700, 500), ground)
    canvas, face = ImageDraw.Draw(image), ImageFont.truetype(_FONTS / "DejaVuSansMono.ttf", 14)
    for row in range(26):
        x = 20 + 34 * int(random.integers(0, 4))
        for word in random.choice(_WORDS, random.integers(2, 8)):
            canvas.text((x, 12 + 18 * row), word, fill=inks[int(random.integers(0, 3))], font=face)
            x += canvas.textlength(f"{word} ", font=face)
    return np.asarray(image)


def _scan(page: Pixels, random: np.random.Generator, noise: float) -> Pixels:
    """Scan a page: turned by half a degree, soft, unevenly lit, with noise."""
    height, width = page.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), random.uniform(-0.6, 0.6), 1)
    turned = cv2.warpAffine(page, turn, (width, height), borderValue=page[0, 0].tolist())
    left, right = random.uniform(0.9, 1, 2)
    light = np.linspace(left, right, width)[:, None]
    scan = cv2.GaussianBlur(turned, (0, 0), 0.7) * light + random.normal(0, noise, page.shape)
    return np.clip(np.rint(scan), 0, 255).astype(np.uint8)


def pages() -> Iterator[Pixels]:
    """Return pages, tables, screenshots and scans."""
    random = np.random.default_rng(7)
    fonts = ("DejaVuSans", "DejaVuSerif", "STIXGeneral", "DejaVuSansMono", "DejaVuSans-Bold")
    for place, font in enumerate(fonts):
        yield _page(random, font, 14 + 2 * place, _INK, _WHITE)
        yield _page(random, font, 14, (40, 40, 60), (246, 240, 225), columns=2)
    yield _page(random, "DejaVuSans", 16, (230, 230, 230), (24, 26, 30))
    yield _page(random, "DejaVuSerif", 24, (90, 30, 20), (255, 250, 240))
    for ink, paper in (
        (_INK, _WHITE),
        ((20, 60, 30), (240, 250, 240)),
        ((225, 225, 225), (40, 40, 44)),
    ):
        yield _table(random, ink, paper)
    for is_dark in (False, True):
        for _ in range(3):
            yield _window(random, is_dark)
        yield _code(random, is_dark)
    for noise in (1, 2, 4, 6):
        yield _scan(_page(random, "DejaVuSerif", 18, _INK, (222, 218, 208)), random, noise)
        yield _scan(_page(random, "DejaVuSans", 16, (60, 60, 60), (240, 240, 240)), random, noise)
    yield _in_colour(data.page())


SETS: dict[str, tuple[str, Callable[[], Iterator[Pixels]]]] = {
    "photos": ("photo", photos),
    "cut-outs": ("photo", cut_outs),
    "drawings": ("drawing", drawings),
    "shaded drawings": ("drawing", shaded_drawings),
    "pages and screenshots": ("text", pages),
}
"""The kind and the images of each set."""
