"""Image files: listing, reading headers, decoding in worker processes, and metadata."""

from __future__ import annotations

from .image import NO_DEGRADATION, Box, Degradation, Facts, ImageCache, SourceImage, downscaled_size, spans
from .listing import ListedPath, Listing, list_images
from .metadata import CHOICES, Metadata
from .worker import end_idle_workers, inspect, read_image, warm_up
