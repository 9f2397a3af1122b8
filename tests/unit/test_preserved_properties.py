"""Properties of the input that a result keeps: orientation, EXIF, colour profile, bit depth and
transparency."""

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


def enhance(enhancer, content: bytes) -> Image.Image:
    return Image.open(enhancer.run(io.BytesIO(content), RAW).path)


def test_a_jpeg_of_a_phone_is_rotated_and_keeps_profile_and_exif(enhancer, photo):
    about = {"icc_profile": wide_profile(), "exif": b"Exif\0\0" + exif_block(6)}
    result = enhance(
        enhancer, encode(Image.fromarray(photo), "JPEG", quality=100, subsampling=0, **about)
    )

    upright = np.ascontiguousarray(np.rot90(photo, -1))
    assert psnr(np.asarray(result), enhancer.upscale(upright, RAW.model)) > 30
    assert result.info["icc_profile"] == wide_profile()
    assert (result.getexif()[0x0112], result.getexif()[0x010F]) == (1, "Lantern")


def test_partial_transparency_is_kept_without_fringes(enhancer):
    rows, columns = np.mgrid[0:40, 0:56]
    alpha = np.clip(255 - 12 * np.hypot(rows - 20, columns - 28), 0, 255).astype(np.uint8)
    colour = np.where(alpha[..., None] > 0, (230, 40, 40), (0, 255, 0)).astype(np.uint8)

    result = np.asarray(enhance(enhancer, png(np.dstack([colour, alpha]))))

    assert result[result[..., 3] > 0][:, 1].max() < 90, (
        "the green of the transparent pixels is visible"
    )
    assert len(np.unique(result[..., 3])) > 100


def edge_error(image: Image.Image, original: Image.Image, ground: str) -> float:
    """Return the mean error in levels on a ground of one colour where the image is nearly
    transparent."""
    backdrop = Image.new("RGBA", image.size, ground)
    shown, expected = (
        np.asarray(Image.alpha_composite(backdrop, one)).astype(float) for one in (image, original)
    )
    alpha = np.asarray(image)[..., 3]
    return float(np.abs(shown - expected)[(alpha > 0) & (alpha < 128)].mean())


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_the_edges_of_a_logo_have_the_colours_that_are_visible_there(enhancer, tmp_path, mode):
    path = Path(gradio.__file__).parent / "media_assets" / "images" / "hf-logo_transpng.png"
    original = (
        Image.open(path).convert("RGBA").resize((384, 384), Image.Resampling.LANCZOS).convert(mode)
    )
    original.resize((96, 96), Image.Resampling.BOX).save(tmp_path / "logo.png")

    def upscaled(*, tuning: bool) -> Image.Image:
        settings = Settings("anime-fast", tuning=tuning)
        return Image.fromarray(
            enhancer.preview(tmp_path / "logo.png", settings, size=96).after
        ).convert("RGBA")

    result, network, original = (
        upscaled(tuning=True),
        upscaled(tuning=False),
        original.convert("RGBA"),
    )

    assert edge_error(result, original, "white") < 0.8 * edge_error(network, original, "white")
    assert edge_error(result, original, "black") < 1.05 * edge_error(network, original, "black")
    opaque = np.asarray(result)[..., 3] > 128
    assert np.array_equal(np.asarray(result)[opaque], np.asarray(network)[opaque])
