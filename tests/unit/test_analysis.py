"""The analysis of images: each estimate is compared with known values, and Auto chooses from it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import ExifTags, Image, ImageDraw, ImageFont
from skimage import data

from enhance.analysis import Analysis, analyse
from enhance.analysis.auto import choose
from enhance.images import SourceImage, read_image
from tests.quality.photos import REPORTED, TUNING, reference_of

NAMES = ["astronaut", "camera", "chelsea", "rocket", "stereo_motorcycle", "moon", "coffee", "immunohistochemistry"]
TEXTURES = ["brick", "coins", "grass", "gravel", "hubble_deep_field"]
CLEAN = [*NAMES, *TEXTURES]
LONG = pytest.mark.long
FEW = ["camera"]
"""The photo that most tests use in `make test`. With `make long`, they use all photos."""
ALL_PRESETS = {"gentle", "fast", "precise", "anime", "original"}


def photo(name: str, factor: float = 2) -> np.ndarray:
    pixels = getattr(data, name)()
    pixels = pixels[0] if isinstance(pixels, tuple) else pixels
    image = Image.fromarray(pixels).convert("RGB")
    size = round(image.width / factor), round(image.height / factor)
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))


def measure(rgb: np.ndarray, alpha: np.ndarray | None = None) -> Analysis:
    return analyse(SourceImage("a.png", "0" * 64, 0, "PNG", "RGB", np.ascontiguousarray(rgb), alpha, False, None))


def add_noise(rgb: np.ndarray, sigma: float) -> np.ndarray:
    return np.clip(np.rint(rgb + np.random.default_rng(5).normal(0, sigma, rgb.shape)), 0, 255).astype(np.uint8)


def add_grain(rgb: np.ndarray, sigma: float, blur: float) -> np.ndarray:
    grain = np.random.default_rng(6).normal(0, 1, rgb.shape[:2]).astype(np.float32)
    grain = cv2.GaussianBlur(grain, (0, 0), blur) if blur else grain
    return np.clip(np.rint(rgb + (sigma / grain.std() * grain)[..., None]), 0, 255).astype(np.uint8)


def add_shot_noise(rgb: np.ndarray, sigma: float, is_grey: bool = False) -> np.ndarray:
    """Add noise whose variance is proportional to the brightness; `sigma` is its standard deviation in the photo."""
    light = cv2.GaussianBlur(rgb, (0, 0), 0.5).astype(np.float32) + 1
    light = light.mean(2, keepdims=True) if is_grey else light
    noise = np.random.default_rng(6).normal(0, 1, light.shape) * np.sqrt(light / light.mean())
    return np.clip(np.rint(rgb + sigma * noise), 0, 255).astype(np.uint8)


def add_colour_grain(rgb: np.ndarray, sigma: float, blur: float) -> np.ndarray:
    """Add correlated noise that differs between the channels."""
    grain = cv2.GaussianBlur(np.random.default_rng(6).normal(0, 1, rgb.shape), (0, 0), blur)
    return np.clip(np.rint(rgb + sigma / grain.std() * grain), 0, 255).astype(np.uint8)


def soften_with_grain(rgb: np.ndarray) -> np.ndarray:
    return add_grain(cv2.GaussianBlur(rgb, (0, 0), 1.1), 5, 0.8)


def as_jpeg(rgb: np.ndarray, quality: int) -> np.ndarray:
    code = io.BytesIO()
    Image.fromarray(rgb).save(code, "JPEG", quality=quality)
    return np.asarray(Image.open(code).convert("RGB"))


def drawing(seed: int, side: int = 400) -> np.ndarray:
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (4 * side, 4 * side), tuple(random.integers(120, 255, 3).tolist()))
    canvas = ImageDraw.Draw(image)
    for _ in range(14):
        (x, y), (w, h) = random.integers(0, 4 * side, 2).tolist(), random.integers(100, 600, 2).tolist()
        colour = tuple(random.integers(0, 255, 3).tolist())
        canvas.ellipse((x - w, y - h, x + w, y + h), fill=colour, outline=(20, 15, 25), width=12)
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS))


def page(paper: tuple[int, int, int] = (255, 255, 255), size: int = 16) -> np.ndarray:
    image = Image.new("RGB", (600, 640), paper)
    canvas, ink = ImageDraw.Draw(image), "black" if sum(paper) > 380 else "white"
    for line, top in enumerate(range(30, 600, size * 3 // 2)):
        text = f"{line}: The invoice of 24 March has {line + 3} items, 129.50 in total, due in 14 days"
        canvas.text((30, top), text, fill=ink, font=ImageFont.load_default(size))
    return np.asarray(image)


def interface() -> np.ndarray:
    image = Image.new("RGB", (640, 480), (250, 250, 250))
    canvas, font = ImageDraw.Draw(image), ImageFont.load_default(15)
    canvas.rectangle((0, 0, 640, 40), fill=(40, 90, 200))
    canvas.text((12, 10), "File   Edit   View   Settings   Help", fill="white", font=font)
    canvas.rectangle((0, 40, 160, 480), fill=(238, 240, 244))
    for row in range(12):
        top = 50 + 35 * row
        canvas.rounded_rectangle((8, top, 152, top + 28), 6, outline=(200, 200, 205))
        canvas.text((16, top + 5), f"Menu item {row}", fill=(30, 30, 40), font=font)
        canvas.line((176, top + 30, 624, top + 30), fill=(210, 210, 215))
        canvas.text((180, top + 6), f"Row {row}: total {row * 137} of {row * 911} files", fill=(30, 30, 40), font=font)
    return np.asarray(image)


def country_map(side: int = 190) -> np.ndarray:
    """Draw countries in flat colours with dark borders."""
    random = np.random.default_rng(3)
    capitals, colours = random.uniform(0, 2 * side, (14, 2)), random.integers(60, 255, (14, 3)).astype(np.uint8)
    place = np.stack(np.meshgrid(np.arange(2 * side), np.arange(2 * side)), -1)
    country = np.linalg.norm(place[:, :, None] - capitals, axis=-1).argmin(2).astype(np.uint8)
    rgb = colours[country]
    rgb[cv2.morphologyEx(country, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0] = 25
    return cv2.resize(rgb, (side, side), interpolation=cv2.INTER_AREA)


def few_of(names: list[str]) -> list:
    return [name if name in FEW else pytest.param(name, marks=LONG) for name in names]


@pytest.mark.parametrize("factor", [pytest.param(2, marks=LONG), pytest.param(3, marks=LONG), 4])
def test_precise_is_for_clean_photos_only(factor):
    photos = [photo(name, factor) for name in [*CLEAN, "cell"]]

    def count(degrade: Callable[[np.ndarray], np.ndarray]) -> int:
        return sum(choose(measure(degrade(one)), ALL_PRESETS).preset == "precise" for one in photos)

    assert count(lambda rgb: rgb) >= len(photos) - 1
    for degrade in (
        lambda rgb: add_noise(rgb, 3),
        lambda rgb: add_shot_noise(rgb, 3),
        lambda rgb: as_jpeg(rgb, 85),
        soften_with_grain,
    ):
        assert count(degrade) == 0
    # In photos of up to 128 px, correlated noise is not measured.
    small = sum(max(one.shape) <= 128 for one in photos)
    for degrade in (lambda rgb: add_colour_grain(rgb, 3, 0.5), lambda rgb: add_colour_grain(rgb, 3, 1)):
        assert count(degrade) <= small
    # Grass and gravel have so much fine texture that this noise is not visible.
    for degrade in (lambda rgb: add_grain(rgb, 3, 0), lambda rgb: add_shot_noise(rgb, 3, is_grey=True)):
        assert count(degrade) <= 2


@pytest.mark.parametrize("name", ["lion", "cheetah"])
def test_fur_in_a_very_small_photo_is_not_measured_as_noise(name):
    reference = reference_of((TUNING | REPORTED)[name])
    small = Image.fromarray(reference).reduce(4)

    assert choose(measure(np.asarray(small)), ALL_PRESETS).preset == "precise"


@pytest.mark.parametrize("name", few_of([*NAMES, "brick", "cell", "coins"]))
def test_noise_is_measured(name):
    for degrade in (add_noise, add_shot_noise, lambda rgb, sigma: add_grain(rgb, sigma, 0)):
        assert measure(degrade(photo(name), 3)).noise == pytest.approx(3, abs=1.6)
    analysis = measure(add_noise(photo(name), 6))
    assert analysis.noise == pytest.approx(6, abs=1.6)
    assert analysis.jpeg_quality is None
    assert choose(analysis, ALL_PRESETS).preset in ("fast", "gentle")


@pytest.mark.parametrize("name", ["grass", "gravel"])
def test_colour_noise_in_fine_texture_is_measured(name):
    for sigma in (3, 6):
        assert measure(add_noise(photo(name), sigma)).noise == pytest.approx(sigma, rel=0.25)


@pytest.mark.parametrize("name", few_of(["camera", "rocket", "moon"]))
@pytest.mark.parametrize("blur", [0.8, 1.0])
def test_film_grain_is_measured_at_a_second_scale(name, blur):
    analysis = measure(add_grain(photo(name), 5, blur))

    assert analysis.noise == pytest.approx(5, abs=1.2)
    assert analysis.grain == pytest.approx(2 * blur, abs=0.5)
    assert choose(analysis, ALL_PRESETS).preset == "gentle"
    assert measure(add_noise(photo(name), 5)).grain == 0


@pytest.mark.parametrize("name", few_of(NAMES))
@pytest.mark.parametrize("quality", [85, 50])
def test_the_quality_of_a_jpeg_shows_in_the_pixels(name, quality):
    analysis = measure(as_jpeg(photo(name), quality))

    assert analysis.jpeg_quality is not None
    assert analysis.jpeg_quality <= quality + 2
    assert quality - analysis.jpeg_quality <= 7
    assert choose(analysis, ALL_PRESETS).preset != "precise"


def test_the_quality_of_a_file_comes_from_its_tables(tmp_path: Path):
    for quality in (30, 60, 90):
        Image.fromarray(photo("astronaut")).save(tmp_path / "a.jpg", quality=quality)
        image = read_image(tmp_path / "a.jpg")
        assert len(image.jpeg_table) == 64
        assert analyse(image).jpeg_quality == pytest.approx(quality, abs=2)
    Image.fromarray(as_jpeg(photo("astronaut"), 50)).save(tmp_path / "again.jpg", quality=95)
    assert analyse(read_image(tmp_path / "again.jpg")).jpeg_quality == pytest.approx(50, abs=6)
    cut = np.ascontiguousarray(as_jpeg(photo("astronaut", 1), 60)[3:, 5:])
    assert measure(cut).jpeg_quality == pytest.approx(60, abs=5)
    Image.fromarray(cut).save(tmp_path / "cut.jpg", quality=95)
    assert analyse(read_image(tmp_path / "cut.jpg")).jpeg_quality == pytest.approx(60, abs=5)


@pytest.mark.parametrize("name", few_of(["astronaut", "camera", "chelsea", "coffee", "stereo_motorcycle"]))
@pytest.mark.parametrize(
    ("ending", "qualities"), [("webp", (30, 75, 92)), ("avif", (40, 65, 85)), ("heic", (30, 45, 75))]
)
def test_a_compressed_webp_avif_or_heic_is_not_clean(tmp_path: Path, name, ending, qualities):
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = 20_000 * "a"
    for quality, is_clean in zip(qualities, (False, False, True), strict=True):
        Image.fromarray(photo(name)).save(tmp_path / f"a.{ending}", quality=quality, exif=exif.tobytes())
        analysis = analyse(read_image(tmp_path / f"a.{ending}"))
        assert (choose(analysis, ALL_PRESETS).preset == "precise") == is_clean, analysis
    Image.fromarray(photo(name)).save(tmp_path / "a.webp", lossless=True)
    assert analyse(read_image(tmp_path / "a.webp")).jpeg_quality is None


@pytest.mark.parametrize("seed", range(2))
def test_drawings_are_recognised_also_as_jpeg(seed):
    clean, noisy = measure(drawing(seed)), measure(add_noise(drawing(seed), 5))

    assert (clean.kind, clean.jpeg_quality, choose(clean, ALL_PRESETS).preset) == ("drawing", None, "precise")
    assert noisy.noise == pytest.approx(5, abs=1)
    assert choose(noisy, ALL_PRESETS).preset != "precise"
    for quality in (85, 30):
        compressed = measure(as_jpeg(drawing(seed), quality))
        assert (compressed.kind, compressed.softness, compressed.haze) == ("drawing", 1, 0)
        assert choose(compressed, ALL_PRESETS).preset == "anime"


@pytest.mark.parametrize("quality", [90, 50])
def test_small_and_shaded_drawings_are_recognised_as_jpeg(quality):
    shaded = np.rint(drawing(2) * np.linspace(0.6, 1, 400)[:, None]).astype(np.uint8)

    for rgb in (country_map(), shaded):
        assert measure(as_jpeg(rgb, quality)).kind == "drawing"


@pytest.mark.parametrize(("name", "ground"), [("astronaut", 255), ("camera", 236), ("coffee", 0)])
def test_a_photo_that_is_cut_out_is_a_photo(name, ground):
    rgb = photo(name, 1)
    height, width = rgb.shape[:2]
    mask = np.zeros((height, width, 1), np.float32)
    cv2.ellipse(mask, (width // 2, height // 2), (width // 3, height // 3), 0, 0, 360, 1, -1, cv2.LINE_AA)
    cut_out = np.rint(mask * rgb + (1 - mask) * ground).astype(np.uint8)

    assert measure(cut_out).kind == "photo"
    for quality in (90, 50):
        analysis = measure(as_jpeg(cut_out, quality))
        assert (analysis.kind, choose(analysis, ALL_PRESETS).preset == "anime") == ("photo", False)


def test_a_faint_photo_of_coins_is_a_photo():
    """Many of its edges have two tones, but its flat areas are not constant."""
    faint = np.rint(0.5 * photo("coins", 1) + 64).astype(np.uint8)

    assert measure(faint).kind == "photo"


@pytest.mark.parametrize("rgb", [page(), page((25, 25, 30)), page(size=30), interface()])
def test_pages_and_interfaces_are_text(rgb):
    clean, noisy = measure(rgb), measure(add_noise(rgb, 5))
    compressed = [measure(as_jpeg(rgb, quality)) for quality in (80, 40)]

    assert (clean.jpeg_quality, choose(clean, ALL_PRESETS).preset) == (None, "precise")
    assert (choose(noisy, ALL_PRESETS).preset == "precise") == (noisy.kind == "text")
    for analysis in (clean, *compressed):
        assert choose(analysis, ALL_PRESETS).preset == "precise"
        assert (analysis.kind, analysis.haze, analysis.softness) == ("text", 0, 1)
        assert choose(analysis, ALL_PRESETS).reduce == 1


def test_small_parts_and_noisy_scans_of_pages_are_text():
    shading = np.linspace(-14, 10, 600)[None, :, None]
    scan = add_noise(cv2.GaussianBlur(page((212, 208, 200), 18), (0, 0), 0.7) + shading, 4)
    pages = [scan, as_jpeg(scan, 70)]
    for side in (72, 128):
        small = np.ascontiguousarray(page()[100 : 100 + side, 30 : 30 + side])
        pages += [small, add_noise(small, 4), as_jpeg(small, 60), as_jpeg(add_noise(small, 3), 80)]

    for analysis in map(measure, pages):
        assert (analysis.kind, choose(analysis, ALL_PRESETS).preset) == ("text", "precise")


def test_a_page_with_a_photo_is_text():
    for rgb in (page(), page((25, 25, 30))):
        rgb = rgb.copy()
        rgb[60:300, 40:296] = photo("astronaut")[:240]
        assert measure(rgb).kind == measure(as_jpeg(rgb, 60)).kind == "text"


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
@pytest.mark.parametrize("colour", [0, 255])
def test_a_photo_with_a_border_is_a_photo(name, colour):
    width = 60
    bordered = cv2.copyMakeBorder(photo(name), width, width, width, width, cv2.BORDER_CONSTANT, value=[colour] * 3)

    for rgb, preset in ((bordered, "precise"), (as_jpeg(bordered, 70), "fast")):
        analysis = measure(rgb)
        assert (analysis.kind, choose(analysis, ALL_PRESETS).preset) == ("photo", preset)
    inside = (slice(width, -width),) * 2
    bordered[inside] = add_noise(bordered[inside], 6)
    assert measure(bordered).noise == pytest.approx(6, abs=1)


@pytest.mark.parametrize("side", [1, 2, 8])
def test_pixel_art_is_a_clean_drawing(side):
    random = np.random.default_rng(4)
    cells, colours = np.zeros((48, 64), int), random.integers(0, 255, (12, 3)).astype(np.uint8)
    for _ in range(40):
        top, left, height, width = random.integers((0, 0, 2, 2), (48, 64, 14, 14))
        cells[top : top + height, left : left + width] = random.integers(0, 12)
    analysis = measure(np.kron(colours[cells], np.ones((side, side, 1), np.uint8)))

    assert (analysis.kind, choose(analysis, ALL_PRESETS).preset) == ("drawing", "precise")


@pytest.mark.parametrize("quality", [85, 60])
def test_a_bird_in_a_clear_sky_is_a_photo(quality):
    sky = np.linspace((185, 205, 240), (205, 220, 250), 320)[:, None] * np.ones((1, 480, 1))
    sky[110:230, 150:330] = photo("chelsea")[20:140, 30:210]
    analysis = measure(as_jpeg(add_noise(sky, 1), quality))

    assert (analysis.kind, analysis.haze) == ("photo", 0)


@pytest.mark.parametrize("name", few_of(["astronaut", "camera", "coffee"]))
def test_only_a_photo_that_is_soft_by_a_factor_of_3_is_downscaled(name):
    whole = photo(name, 1)
    for factor, reduce in ((2, 1), (3, 2)):
        analysis = measure(soften(whole, factor))
        assert analysis.softness == factor
        double = 2 * analysis.height, 2 * analysis.width
        assert choose(analysis, ALL_PRESETS, double).reduce == reduce
        assert choose(analysis, ALL_PRESETS).reduce == 1


@pytest.mark.parametrize("size", [(1, 1), (1, 500_000), (500_000, 1), (15, 900), (20, 40_000), (64, 64), (63, 70)])
def test_any_size_can_be_analysed(size):
    analysis = measure(np.full((*size, 3), 128, np.uint8))
    assert (analysis.height, analysis.width, analysis.noise, analysis.jpeg_quality) == (*size, 0, None)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (16, 16), (97, 64)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_random_pixels_can_be_analysed(size, dtype):
    rgb = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, (*size, 3), dtype, endpoint=True)
    for pixels in (rgb, np.repeat(rgb[..., :1], 3, axis=2)):
        analysis = measure(pixels, np.zeros(size, dtype))
        assert (analysis.height, analysis.width, analysis.transparency) == (*size, True)
        assert analysis.jpeg_quality is None
        if min(size) >= 64:
            assert choose(analysis, ALL_PRESETS).preset == "gentle"


def test_16_bits_and_transparency():
    rgb = add_noise(photo("camera"), 4)
    deep, usual = measure(rgb.astype(np.uint16) * 257), measure(rgb)
    assert (deep.bits, usual.bits) == (16, 8)
    assert deep.noise == pytest.approx(usual.noise, abs=0.05)
    alpha = np.full(rgb.shape[:2], 255, np.uint8)
    assert not measure(rgb, alpha).transparency
    alpha[-1, 7] = 0
    assert measure(rgb, alpha).transparency


def soften(rgb: np.ndarray, factor: int) -> np.ndarray:
    """Downscale by averaging, upscale again, and crop so that the pixels are not aligned to the averages."""
    size = rgb.shape[1] // factor, rgb.shape[0] // factor
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)[1:, 3:]


@pytest.mark.parametrize("name", few_of(["camera", "chelsea", "stereo_motorcycle", "immunohistochemistry", "grass"]))
def test_softness_is_the_factor_without_loss_of_detail(name):
    """These photos were not used to choose the thresholds."""
    sharp = photo(name, 1)

    for degraded in (sharp, add_noise(sharp, 3), add_noise(sharp, 10), as_jpeg(sharp, 85), as_jpeg(sharp, 60)):
        assert measure(degraded).softness == 1
    for factor in (2, 3, 4):
        assert measure(soften(sharp, factor)).softness == factor
    for degraded in (add_noise(soften(sharp, 2), 2), as_jpeg(soften(sharp, 2), 85)):
        assert measure(degraded).softness == 2


def test_a_photo_with_a_blurred_background_is_not_soft():
    rgb = photo("astronaut", 1)
    blurred = cv2.GaussianBlur(rgb, (0, 0), 4)
    blurred[30:230, 130:330] = rgb[30:230, 130:330]  # Only the face is in focus.

    assert measure(blurred).softness == 1
