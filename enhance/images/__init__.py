"""Image files: listing, reading headers, decoding in worker processes, and metadata."""

from __future__ import annotations

from .downscaling import Size, Span, ceil_div, downscaled_size, spans, widen
from .image import NO_DEGRADATION, Box, Degradation, Facts, ImageCache, SourceImage
from .listing import ListedPath, Listing, list_images
from .worker import end_idle_workers, inspect, read_image, warm_up
