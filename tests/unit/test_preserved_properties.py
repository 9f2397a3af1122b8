"""Properties of the input that a result keeps: orientation, EXIF, colour profile, bit depth and transparency."""

import io
from pathlib import Path

import gradio
import numpy as np
import pytest
from PIL import Image

from enhance import Settings
from tests.conftest import psnr
from tests.unit.image_files import encode, exif_block, png, wide_profile

RAW = Settings.from_preset("anime-fast")

pytestmark = pytest.mark.usefixtures("fresh_store")


def enhance(enhancer, tmp_path, content: bytes, name: str) -> Image.Image:
    path = tmp_path / name
    path.write_bytes(content)
    return Image.open(io.BytesIO(enhancer.run(path, RAW, output=tmp_path / "out.png").path.read_bytes()))


def test_a_jpeg_of_a_phone_is_rotated_and_keeps_profile_and_exif(enhancer, photo, tmp_path):
    profile = wide_profile()
    content = encode(
        Image.fromarray(photo),
        "JPEG",
        quality=100,
        subsampling=0,
        icc_profile=profile,
        exif=b"Exif\0\0" + exif_block(6),
    )

    result = enhance(enhancer, tmp_path, content, "phone.jpg")

    assert result.size == (160, 224)
    upright = np.ascontiguousarray(np.rot90(photo, -1))
    assert psnr(np.asarray(result), enhancer.upscale(upright, RAW.model)) > 30
    assert result.info["icc_profile"] == profile
    assert result.getexif()[0x0112] == 1
    assert result.getexif()[0x010F] == "Lantern"


def test_partial_transparency_is_kept_without_fringes(enhancer, photo, tmp_path):
    rows, columns = np.mgrid[0:40, 0:56]
    alpha = np.clip(255 - 12 * np.hypot(rows - 20, columns - 28), 0, 255).astype(np.uint8)
    colour = np.where(alpha[..., None] > 0, np.array([230, 40, 40]), np.array([0, 255, 0])).astype(np.uint8)

    result = np.asarray(enhance(enhancer, tmp_path, png(np.dstack([colour, alpha]), 6), "soft.png"))

    assert result.shape == (160, 224, 4)
    visible = result[result[..., 3] > 0]
    assert visible[:, 1].max() < 90, "the green of the transparent pixels is visible"
    assert len(np.unique(result[..., 3])) > 100


def soft_logo() -> np.ndarray:
    """Return a logo with transparency, uint8 [384, 384, 4], that was drawn with smooth edges."""
    path = Path(gradio.__file__).parent / "media_assets" / "images" / "hf-logo_transpng.png"
    return np.asarray(Image.open(path).convert("RGBA").resize((384, 384), Image.Resampling.LANCZOS))


def reduced(rgba: np.ndarray) -> np.ndarray:
    """Return the averages of blocks of 4 x 4 pixels; each pixel counts by its alpha."""
    alpha = rgba[..., 3:] / 255
    sums = np.concatenate([rgba[..., :3] * alpha, rgba[..., 3:]], axis=2).reshape(96, 4, 96, 4, 4).mean((1, 3))
    colour = np.divide(sums[..., :3] * 255, sums[..., 3:], where=sums[..., 3:] > 0, out=np.zeros((96, 96, 3)))
    return np.rint(np.dstack([colour, sums[..., 3]])).astype(np.uint8)


def edge_error(rgba: np.ndarray, original: np.ndarray, ground: int) -> float:
    """Return the mean error in levels on a ground of one grey level where the image is nearly transparent."""
    shown, expected = (
        one[..., :3] * (one[..., 3:] / 255) + ground * (1 - one[..., 3:] / 255) for one in (rgba, original)
    )
    return float(np.abs(shown - expected)[(rgba[..., 3] > 0) & (rgba[..., 3] < 128)].mean())


@pytest.mark.parametrize("kind", ["RGBA", "16-bit", "LA"])
def test_the_edges_of_a_logo_have_the_colours_that_are_visible_there(enhancer, tmp_path, kind):
    original = soft_logo()
    if kind == "LA":
        original = np.dstack([original[..., :1]] * 3 + [original[..., 3]])
    small, path = reduced(original), tmp_path / "logo.png"
    factor = 257 if kind == "16-bit" else 1
    channels = small[..., [0, 3]] if kind == "LA" else small
    path.write_bytes(png(channels.astype(np.uint16 if factor > 1 else np.uint8) * factor, 4 if kind == "LA" else 6))

    def upscaled(*, tuning: bool = True) -> np.ndarray:
        settings = Settings("anime-fast", tuning=tuning)
        rows = enhancer.preview(path, settings, size=96).after // factor
        return rows if rows.shape[2] == 4 else np.dstack([rows[..., 0]] * 3 + [rows[..., 1]])

    result, network = upscaled(), upscaled(tuning=False)

    assert edge_error(result, original, 255) < 0.8 * edge_error(network, original, 255)
    assert edge_error(result, original, 0) < 1.05 * edge_error(network, original, 0)
    opaque = result[..., 3] > 128
    assert np.array_equal(result[opaque], network[opaque])
