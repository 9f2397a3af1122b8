"""A picture file becomes pixels, and everything about it that the enlarged picture needs.

`list_pictures` finds the files of a folder, `inspect` tells what a header says, `read_picture` decodes, both in a
process of their own. `Picture` is what the rest of the program works with.
"""

from __future__ import annotations

from .image import FLAWLESS, Box, Facts, ImageCache, Measurements, Picture, reduced_size
from .listing import Found, Listing, Shard, list_pictures
from .metadata import CHOICES, Metadata
from .worker import inspect, read_picture, warm_up

__all__ = [
    "CHOICES",
    "FLAWLESS",
    "OWN",
    "SUFFIXES",
    "Box",
    "Facts",
    "Found",
    "ImageCache",
    "Listing",
    "Measurements",
    "Metadata",
    "Picture",
    "Shard",
    "inspect",
    "list_pictures",
    "read_picture",
    "reduced_size",
    "warm_up",
]
