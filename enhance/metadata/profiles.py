"""Colour profiles (ICC): their names and colour spaces, and which result can carry them."""

from __future__ import annotations

import io
import logging
import time
from typing import Any, cast

from PIL import ImageCms

from .containers import LARGEST_BLOCK, cut_block

logger = logging.getLogger(__name__)

_MAX_PROFILE_SECONDS = 1.0
"""Limit of the processor time to prepare a profile. Real profiles take milliseconds, crafted
profiles minutes."""
_MODE_OF_SPACE = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}


def limit_profile(profile: object) -> bytes | None:
    """Return a colour profile unless it is empty or too large."""
    found = cut_block(profile)
    if found and len(found) > LARGEST_BLOCK:
        logger.info("The colour profile is too large and was left out")
        return None
    return found


def open_profile(icc: bytes | None) -> ImageCms.ImageCmsProfile | None:
    if not icc:
        return None
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(icc))
    except (ImageCms.PyCMSError, OSError) as error:
        logger.info("The colour profile is damaged and was left out: %s", error)
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
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        logger.info("The colour profile does not work and was left out: %s", error)
        return None
    # Reports would take as long for each image.
    if time.thread_time() - begun > _MAX_PROFILE_SECONDS:
        logger.info("The colour profile takes too long and was left out")
        return None
    return space


def fitting_profile(icc: bytes | None, grey: bool) -> bytes | None:
    """Return the profile if the result, grey or RGB, can carry it."""
    space = profile_space(icc)
    fitting = "GRAY" if grey else "RGB"
    if space == fitting:
        return icc
    if space is not None:
        logger.info("The %s profile does not fit the image and was left out", space)
    return None
