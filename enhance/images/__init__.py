"""Image files: listing, reading headers, decoding in worker processes, and metadata."""

from __future__ import annotations

from .image import FLAWLESS, Box, Facts, ImageCache, Measurements, Picture, reduced_size
from .listing import Found, Listing, Shard, list_pictures
from .metadata import CHOICES, Metadata
from .worker import inspect, read_picture, warm_up

__all__ = [
    "CHOICES",
    "FLAWLESS",
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
