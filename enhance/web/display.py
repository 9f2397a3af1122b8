"""Regions of photos and results for the stage, at the resolution of the screen.

The page requests the regions that it shows, so it never loads a whole large image. The address contains the secret name
of the session's folder, like the addresses of its files, and the version of the image, so that browsers can cache it.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from weakref import WeakKeyDictionary

import gradio as gr
from anyio import CapacityLimiter
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..errors import EnhanceError
from ..images import Box
from ..output.png_reader import PngReader
from ..output.thumbnails import encode_for_screen, icc_for_screen, photo_region, to_screen
from .gradio_changes import blocks_of
from .services import Services
from .session import Session

_MAX_PIXELS = 16_000_000
"""The largest region that is sent, in pixels of the screen."""
_MAX_STEP = 1 << 12
_AT_ONCE = 2
_MEDIA_TYPES = {".jpg": "image/jpeg", ".png": "image/png"}


class Display:
    """The regions of one app. At most two are made at a time, so that they do not slow down the network."""

    def __init__(self, services: Services):
        self._services = services

    @cached_property
    def _limiter(self) -> CapacityLimiter:
        return CapacityLimiter(_AT_ONCE)

    async def respond(self, request: Request) -> Response:
        """Return a region as a JPEG, or as a PNG if it has transparency. Raises HTTPException."""
        session = self._services.sessions.of_folder(request.path_params["session"])
        if session is None:
            raise HTTPException(404)
        async with self._limiter:
            content, extension = await run_in_threadpool(self._region, session, request)
        headers = {"cache-control": "private, max-age=3600, immutable"}
        return Response(content, media_type=_MEDIA_TYPES[extension], headers=headers)

    def _region(self, session: Session, request: Request) -> tuple[bytes, str]:
        kind, version = request.path_params["kind"], request.path_params["version"]
        upload, result = session.upload, session.result
        try:
            if kind == "photo" and upload is not None and upload.version == version:
                image = self._services.previews.image(upload.path)
                box, step = _region_in(request, image.width, image.height)
                return encode_for_screen(photo_region(image, box, step), icc_for_screen(image))
            if kind == "result" and result is not None and result.version == version:
                return self._result_region(result.download, request)
        except EnhanceError as error:  # The file was deleted.
            raise HTTPException(404) from error
        raise HTTPException(404)

    def _result_region(self, path: Path, request: Request) -> tuple[bytes, str]:
        with PngReader(path) as png:
            box, step = _region_in(request, png.size[1], png.size[0])
            return encode_for_screen(to_screen(png.region(box, step)), png.icc if png.channels > 2 else None)


def _region_in(request: Request, width: int, height: int) -> tuple[Box, int]:
    """Return the region of a request in an image of this size, and the step. Raises HTTPException."""
    try:
        left, top, across, down, step = (
            int(request.query_params[name]) for name in ("left", "top", "width", "height", "step")
        )
    except (KeyError, ValueError) as error:
        raise HTTPException(400) from error
    inside = 0 <= left < left + across <= width and 0 <= top < top + down <= height
    if not inside or not 1 <= step <= _MAX_STEP or across * down > _MAX_PIXELS * step * step:
        raise HTTPException(400)
    return Box(left, top, across, down), step


_DISPLAYS: WeakKeyDictionary[gr.Blocks, Display] = WeakKeyDictionary()


def add_display(blocks: gr.Blocks, services: Services) -> None:
    """Serve the regions of an app's photos and results by `DISPLAY_ROUTE`."""
    _DISPLAYS[blocks] = Display(services)


async def _respond(request: Request) -> Response:
    blocks = blocks_of(request.scope)
    if blocks is None or blocks not in _DISPLAYS:
        raise HTTPException(404)
    return await _DISPLAYS[blocks].respond(request)


DISPLAY_ROUTE = Route("/display/{session}/{kind}/{version}", _respond)
