"""Tips for a picture: said where they fit, and only there."""

from dataclasses import replace

import numpy as np
import pytest
from skimage import data

from enhance.picture import read_picture
from enhance.scenes import hints


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
def test_a_hazy_picture_is_told_from_a_clear_one(photo_file, name):
    clear = replace(read_picture(photo_file), rgb=getattr(data, name)())
    veil = np.linspace(0.6, 0.3, clear.height)[:, None, None]
    hazy = replace(clear, rgb=np.rint(clear.rgb * (1 - veil) + 230 * veil).astype(np.uint8))

    assert "dehaze" in hints(hazy, None)
    assert "dehaze" not in hints(clear, None)
