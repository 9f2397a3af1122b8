"""The analysis of images: each estimate is compared with known values, and Auto chooses from it."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import ExifTags, Image, ImageDraw, ImageFont
from skimage import data

from enhance.analysis import Analysis, analyse
from enhance.analysis.auto import Choice, choose
from enhance.images import read_image
from tests.quality.photos import REPORTED, TUNING, reference_of

from .image_files import source_image

NAMES = [
    "astronaut",
    "camera",
    "chelsea",
    "rocket",
    "stereo_motorcycle",
    "moon",
    "coffee",
    "immunohistochemistry",
]
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
    return analyse(source_image(rgb, alpha))


def choice(rgb: np.ndarray) -> Choice:
    return choose(measure(rgb), ALL_PRESETS)


def as_pixels(levels: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def add_noise(rgb: np.ndarray, sigma: float) -> np.ndarray:
    return as_pixels(rgb + np.random.default_rng(5).normal(0, sigma, rgb.shape))


def add_grain(rgb: np.ndarray, sigma: float, blur: float, *, is_grey: bool = True) -> np.ndarray:
    """Add noise that is correlated unless `blur` is 0, equal in all channels or different."""
    shape = (*rgb.shape[:2], 1) if is_grey else rgb.shape
    grain = np.random.default_rng(6).normal(0, 1, shape)
    if blur:
        grain = cv2.GaussianBlur(grain, (0, 0), blur).reshape(shape)
    return as_pixels(rgb + sigma / grain.std() * grain)


def add_shot_noise(rgb: np.ndarray, sigma: float) -> np.ndarray:
    """Add noise whose variance is proportional to the brightness; `sigma` is its standard deviation
    in the photo."""
    light = cv2.GaussianBlur(rgb, (0, 0), 0.5).astype(np.float32) + 1
    noise = np.random.default_rng(6).normal(0, 1, light.shape) * np.sqrt(light / light.mean())
    return as_pixels(rgb + sigma * noise)


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
        (x, y), (w, h) = (
            random.integers(0, 4 * side, 2).tolist(),
            random.integers(100, 600, 2).tolist(),
        )
        colour = tuple(random.integers(0, 255, 3).tolist())
        canvas.ellipse((x - w, y - h, x + w, y + h), fill=colour, outline=(20, 15, 25), width=12)
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS))


def page(paper: tuple[int, int, int] = (255, 255, 255), size: int = 16) -> np.ndarray:
    image = Image.new("RGB", (600, 640), paper)
    canvas, ink = ImageDraw.Draw(image), "black" if sum(paper) > 380 else "white"
    for line, top in enumerate(range(30, 600, size * 3 // 2)):
        text = (
            f"{line}: The invoice of 24 March has {line + 3} items, 129.50 in total, due in 14 days"
        )
        canvas.text((30, top), text, fill=ink, font=ImageFont.load_default(size))
    return np.asarray(image)


def few_of(names: list[str]) -> list:
    return [name if name in FEW else pytest.param(name, marks=LONG) for name in names]


@pytest.mark.parametrize("factor", [pytest.param(2, marks=LONG), pytest.param(3, marks=LONG), 4])
def test_precise_is_for_clean_photos_only(factor):
    photos = [photo(name, factor) for name in [*CLEAN, "cell"]]
    # In photos of up to 128 px, correlated noise is not measured.
    small = sum(max(one.shape) <= 128 for one in photos)
    most = [
        (lambda rgb: add_noise(rgb, 3), 0),
        (lambda rgb: add_shot_noise(rgb, 3), 0),
        (lambda rgb: as_jpeg(rgb, 85), 0),
        (soften_with_grain, 0),
        (lambda rgb: add_grain(rgb, 3, 0.5, is_grey=False), small),
        (lambda rgb: add_grain(rgb, 3, 1, is_grey=False), small),
        (
            lambda rgb: add_grain(rgb, 3, 0),
            2,
        ),  # Not visible in the fine texture of grass and gravel.
    ]

    assert sum(choice(one).preset == "precise" for one in photos) >= len(photos) - 1
    for degrade, expected in most:
        assert sum(choice(degrade(one)).preset == "precise" for one in photos) <= expected


@pytest.mark.parametrize("name", ["lion", "cheetah"])
def test_fur_in_a_very_small_photo_is_not_measured_as_noise(name):
    small = Image.fromarray(reference_of((TUNING | REPORTED)[name])).reduce(4)

    assert choice(np.asarray(small)).preset == "precise"


@pytest.mark.parametrize("name", few_of([*NAMES, "brick", "cell", "coins"]))
def test_noise_is_measured(name):
    for degrade in (add_noise, add_shot_noise, lambda rgb, sigma: add_grain(rgb, sigma, 0)):
        assert measure(degrade(photo(name), 3)).noise == pytest.approx(3, abs=1.6)
    analysis = measure(add_noise(photo(name), 6))
    assert analysis.noise == pytest.approx(6, abs=1.6)
    assert (analysis.grain, analysis.jpeg_quality) == (0, None)
    assert choose(analysis, ALL_PRESETS).preset in ("fast", "gentle")


@pytest.mark.parametrize(("name", "preset"), [("moon", "fast"), ("camera", "balanced")])
@pytest.mark.parametrize("is_grey", [True, False])
def test_slight_noise_in_a_smooth_photo_is_removed_by_fast(name, preset, is_grey):
    analysis = measure(add_grain(photo(name), 3, 0, is_grey=is_grey))

    assert choose(analysis, {*ALL_PRESETS, "balanced"}).preset == preset


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


@pytest.mark.parametrize("name", few_of(NAMES))
@pytest.mark.parametrize("quality", [85, 50])
def test_the_quality_of_a_jpeg_shows_in_the_pixels(name, quality):
    analysis = measure(as_jpeg(photo(name), quality))

    assert analysis.jpeg_quality is not None
    assert -2 <= quality - analysis.jpeg_quality <= 7
    assert choose(analysis, ALL_PRESETS).preset != "precise"


def test_the_lowest_quality_of_a_file_counts(tmp_path: Path):
    def quality_of(rgb: np.ndarray, quality: int) -> int | None:
        Image.fromarray(rgb).save(tmp_path / "a.jpg", quality=quality)
        return analyse(read_image(tmp_path / "a.jpg")).jpeg_quality

    rgb = photo("astronaut")
    for quality in (30, 60, 90):
        assert quality_of(rgb, quality) == pytest.approx(quality, abs=2)
    assert quality_of(as_jpeg(rgb, 50), 95) == pytest.approx(50, abs=6)
    assert measure(as_jpeg(photo("astronaut", 1), 60)[3:, 5:]).jpeg_quality == pytest.approx(
        60, abs=5
    )


@pytest.mark.parametrize(
    "name", few_of(["astronaut", "camera", "chelsea", "coffee", "stereo_motorcycle"])
)
@pytest.mark.parametrize(
    ("ending", "qualities"),
    [("webp", (30, 75, 92)), ("avif", (40, 65, 85)), ("heic", (30, 45, 75))],
)
def test_a_compressed_webp_avif_or_heic_is_not_clean(tmp_path: Path, name, ending, qualities):
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = 20_000 * "a"
    for quality, is_clean in zip(qualities, (False, False, True), strict=True):
        Image.fromarray(photo(name)).save(
            tmp_path / f"a.{ending}", quality=quality, exif=exif.tobytes()
        )
        analysis = analyse(read_image(tmp_path / f"a.{ending}"))
        assert (choose(analysis, ALL_PRESETS).preset == "precise") == is_clean, analysis
    Image.fromarray(photo(name)).save(tmp_path / "a.webp", lossless=True)
    assert analyse(read_image(tmp_path / "a.webp")).jpeg_quality is None


def test_drawings_are_recognised_also_as_jpeg():
    shaded = as_pixels(drawing(2) * np.linspace(0.6, 1, 400)[:, None, None])
    for rgb in (drawing(0), drawing(1), shaded):
        for quality in (85, 30):
            analysis = measure(as_jpeg(rgb, quality))
            assert (analysis.kind, analysis.softness, analysis.haze) == ("drawing", 1, 0)
            assert choose(analysis, ALL_PRESETS).preset == "anime"
    clean, noisy = measure(drawing(0)), measure(add_noise(drawing(0), 5))
    assert (clean.kind, clean.jpeg_quality, choose(clean, ALL_PRESETS).preset) == (
        "drawing",
        None,
        "precise",
    )
    assert noisy.noise == pytest.approx(5, abs=1)
    assert choose(noisy, ALL_PRESETS).preset != "precise"


@pytest.mark.parametrize("side", [1, 2, 8])
def test_pixel_art_is_a_clean_drawing(side):
    random = np.random.default_rng(4)
    cells, colours = np.zeros((48, 64), int), random.integers(0, 255, (12, 3)).astype(np.uint8)
    for _ in range(40):
        top, left, height, width = random.integers((0, 0, 2, 2), (48, 64, 14, 14))
        cells[top : top + height, left : left + width] = random.integers(0, 12)
    analysis = measure(np.kron(colours[cells], np.ones((side, side, 1), np.uint8)))

    assert (analysis.kind, choose(analysis, ALL_PRESETS).preset) == ("drawing", "precise")


@pytest.mark.parametrize(("name", "ground"), [("astronaut", 255), ("camera", 236), ("coffee", 0)])
def test_a_photo_that_is_cut_out_is_a_photo(name, ground):
    rgb = photo(name, 1)
    height, width = rgb.shape[:2]
    mask = np.zeros((height, width, 1), np.float32)
    cv2.ellipse(
        mask, (width // 2, height // 2), (width // 3, height // 3), 0, 0, 360, 1, -1, cv2.LINE_AA
    )
    cut_out = as_pixels(mask * rgb + (1 - mask) * ground)

    for one in (cut_out, as_jpeg(cut_out, 90), as_jpeg(cut_out, 50)):
        assert measure(one).kind == "photo"


def test_photos_with_edges_of_two_tones_or_a_clear_sky_are_photos():
    coins = as_pixels(0.5 * photo("coins", 1) + 64)
    sky = np.linspace((185, 205, 240), (205, 220, 250), 320)[:, None] * np.ones((1, 480, 1))
    sky[110:230, 150:330] = photo("chelsea")[20:140, 30:210]

    for rgb in (coins, as_jpeg(add_noise(sky, 1), 85), as_jpeg(add_noise(sky, 1), 60)):
        analysis = measure(rgb)
        assert (analysis.kind, analysis.haze) == ("photo", 0)


@pytest.mark.parametrize("colour", [0, 128, 255])
def test_a_border_does_not_count(colour):
    width = 60
    border = width, width, width, width, cv2.BORDER_CONSTANT
    bordered = cv2.copyMakeBorder(photo("coffee"), *border, value=[colour] * 3)

    for rgb, preset in ((bordered, "precise"), (as_jpeg(bordered, 70), "fast")):
        assert (measure(rgb).kind, choice(rgb).preset) == ("photo", preset)
    inside = (slice(width, -width),) * 2
    bordered[inside] = add_noise(bordered[inside], 6)
    assert measure(bordered).noise == pytest.approx(6, abs=1)


@pytest.mark.parametrize("rgb", [page(), page((25, 25, 30)), page(size=30)])
def test_pages_are_text(rgb):
    with_photo = page().copy()
    with_photo[60:300, 40:296] = photo("astronaut")[:240]
    assert measure(rgb).jpeg_quality is None
    for one in (rgb, as_jpeg(rgb, 80), as_jpeg(rgb, 40), with_photo, as_jpeg(with_photo, 60)):
        analysis = measure(one)
        assert (analysis.kind, analysis.haze, analysis.softness) == ("text", 0, 1)
        assert (choice(one).preset, choice(one).reduce) == ("precise", 1)


def test_small_parts_and_noisy_scans_of_pages_are_text():
    shading = np.linspace(-14, 10, 600)[None, :, None]
    scan = add_noise(cv2.GaussianBlur(page((212, 208, 200), 18), (0, 0), 0.7) + shading, 4)
    pages = [scan, as_jpeg(scan, 70)]
    for side in (72, 128):
        small = np.ascontiguousarray(page()[100 : 100 + side, 30 : 30 + side])
        pages += [small, add_noise(small, 4), as_jpeg(small, 60), as_jpeg(add_noise(small, 3), 80)]

    for rgb in pages:
        assert (measure(rgb).kind, choice(rgb).preset) == ("text", "precise")


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 500_000), (500_000, 1), (15, 900), (20, 40_000), (64, 64), (97, 64)]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_any_size_can_be_analysed(size, dtype):
    random = np.random.default_rng(1).integers(
        0, np.iinfo(dtype).max, (*size, 3), dtype, endpoint=True
    )
    for pixels in (np.full_like(random, 99), random):
        analysis = measure(pixels, np.zeros(size, dtype))
        assert (analysis.height, analysis.width, analysis.transparency) == (*size, True)
        assert analysis.jpeg_quality is None
    assert measure(np.full_like(random, 99)).noise == 0
    if min(size) >= 64:
        assert choice(random).preset == "gentle"


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
    """Downscale by averaging, upscale again, and crop so that the pixels are not aligned to the
    averages."""
    size = rgb.shape[1] // factor, rgb.shape[0] // factor
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)[1:, 3:]


@pytest.mark.parametrize(
    "name", few_of(["camera", "chelsea", "stereo_motorcycle", "immunohistochemistry", "grass"])
)
def test_softness_is_the_factor_without_loss_of_detail(name):
    """These photos were not used to choose the thresholds."""
    sharp = photo(name, 1)

    for degraded in (sharp, add_noise(sharp, 10), as_jpeg(sharp, 60)):
        assert measure(degraded).softness == 1
    for factor, reduce in ((2, 1), (3, 2), (4, 2)):
        analysis = measure(soften(sharp, factor))
        assert analysis.softness == factor
        # Only a photo that is soft by a factor of 3 is downscaled, for a result of twice its size.
        double = 2 * analysis.height, 2 * analysis.width
        assert choose(analysis, ALL_PRESETS, double).reduce == reduce
        assert choose(analysis, ALL_PRESETS).reduce == 1
    for degraded in (add_noise(soften(sharp, 2), 2), as_jpeg(soften(sharp, 2), 85)):
        assert measure(degraded).softness == 2


def test_a_photo_with_a_blurred_background_is_not_soft():
    rgb = photo("astronaut", 1)
    blurred = cv2.GaussianBlur(rgb, (0, 0), 4)
    blurred[30:230, 130:330] = rgb[30:230, 130:330]  # Only the face is in focus.

    assert measure(blurred).softness == 1
