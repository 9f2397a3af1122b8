"""Properties of the input that a result keeps: orientation, EXIF, colour profile, bit depth and
transparency."""

from pathlib import Path

import gradio
import numpy as np
import pytest
from PIL import Image

from enhance import Settings
from tests.conftest import psnr
from tests.unit.image_files import encode, exif_block, wide_profile

RAW = Settings.from_preset("anime-fast")

pytestmark = pytest.mark.usefixtures("fresh_store")


def test_a_jpeg_of_a_phone_is_rotated_and_keeps_profile_and_exif(enhancer, photo):
    about = {"icc_profile": wide_profile(), "exif": b"Exif\0\0" + exif_block(6)}
    content = encode(Image.fromarray(photo), "JPEG", quality=100, subsampling=0, **about)

    result = Image.open(enhancer.run(content, RAW).path)

    upright = np.ascontiguousarray(np.rot90(photo, -1))
    assert psnr(np.asarray(result), enhancer.upscale(upright, RAW.model)) > 30
    assert result.info["icc_profile"] == wide_profile()
    assert (result.getexif()[0x0112], result.getexif()[0x010F]) == (1, "Lantern")


def edge_error(image, original):
    """Return the mean error in levels on white where the image is nearly transparent."""
    white = Image.new("RGBA", image.size, "white")
    shown = np.asarray(Image.alpha_composite(white, image)).astype(float)
    expected = np.asarray(Image.alpha_composite(white, original))
    alpha = np.asarray(image)[..., 3]
    return np.abs(shown - expected)[(alpha > 0) & (alpha < 128)].mean()


def test_the_edges_of_a_logo_have_the_colours_that_are_visible_there(enhancer):
    path = Path(gradio.__file__).parent / "media_assets" / "images" / "hf-logo_transpng.png"
    logo = Image.open(path).convert("RGBA").resize((384, 384), Image.Resampling.LANCZOS)
    small = logo.resize((96, 96), Image.Resampling.BOX)

    def upscaled(tuning):
        settings = Settings("anime-fast", tuning=tuning)
        return Image.fromarray(enhancer.preview(small, settings, size=96).after)

    result = upscaled(True)
    network = upscaled(False)

    assert edge_error(result, logo) < 0.8 * edge_error(network, logo)
    opaque = np.asarray(result)[..., 3] > 128
    assert np.array_equal(np.asarray(result)[opaque], np.asarray(network)[opaque])
