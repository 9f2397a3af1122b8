"""Image files: listing, reading headers, decoding in worker processes, and metadata."""

from __future__ import annotations

from .cache import ImageCache
from .degradation import NO_DEGRADATION, Degradation
from .downscaling import Span, ceil_div, spans, widen
from .image import Box, FileFacts, SourceImage
from .listing import ListedPath, Listing, list_images
from .worker import inspect_image, read_image, warm_up
