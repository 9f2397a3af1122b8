"""Colour profiles (ICC): their names and colour spaces, and which result can carry them."""

from __future__ import annotations

import io
import time
from typing import Any, cast

from PIL import ImageCms

from .containers import LARGEST_BLOCK

_MAX_PROFILE_SECONDS = 1.0
"""Limit of the processor time to prepare a profile. Real profiles take milliseconds, crafted
profiles minutes."""
_MODE_OF_SPACE = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}


def limit_profile(profile: object) -> bytes | None:
    """Return a colour profile unless it is empty or too large."""
    if isinstance(profile, bytes) and 0 < len(profile) <= LARGEST_BLOCK:
        return profile
    return None


def open_profile(icc: bytes | None) -> ImageCms.ImageCmsProfile | None:
    if not icc:
        return None
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(icc))
    except (ImageCms.PyCMSError, OSError):
        return None


def profile_name(icc: bytes | None) -> str | None:
    """Return the name in the profile; None if there is no profile or it is damaged."""
    profile = open_profile(icc)
    if profile is None:
        return None
    try:
        name = ImageCms.getProfileDescription(profile)
    except ImageCms.PyCMSError:
        name = ""
    printable = "".join(letter for letter in name if letter.isprintable())
    return printable.strip() or "unnamed"


def profile_space(icc: bytes | None) -> str | None:
    """Return the colour space of a profile: "RGB", "GRAY", "CMYK", "Lab" or another.

    The result is None if there is no profile, or if it does not work.
    """
    profile = open_profile(icc)
    if profile is None:
        return None
    space = cast(Any, profile.profile).xcolor_space.strip()
    mode = _MODE_OF_SPACE.get(space)
    begun = time.thread_time()
    try:
        if mode:
            ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    # Reports would take as long for each image.
    if time.thread_time() - begun > _MAX_PROFILE_SECONDS:
        return None
    return space


def fitting_profile(icc: bytes | None, grey: bool) -> bytes | None:
    """Return the profile if the result, grey or RGB, can carry it."""
    fitting = "GRAY" if grey else "RGB"
    if profile_space(icc) == fitting:
        return icc
    return None
