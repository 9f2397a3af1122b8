"""Regions of photos and results at the resolution of the screen.

A client requests only the regions that it shows, so it never loads a whole large image. `addresses`
signs their addresses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from anyio import CapacityLimiter, to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ..errors import EnhanceError
from ..formats.png_reader import PngReader, read_region
from ..formats.thumbnails import encode_for_screen, icc_for_screen
from ..images import Box
from ..size import Size
from .gradio_changes import client_request
from .owners import owner_of
from .services import Services, services_of

_MAX_PIXELS = 16_000_000
"""The largest region that is sent, in pixels of the screen."""
_MAX_STEP = 1 << 12
_PER_OWNER = 8
_PER_ADDRESS = 24
_IN_TOTAL = 96
"""The largest number of open requests for regions. A browser opens six connections at a time."""
_CONCURRENT = 2


class _Regions:
    """The ASGI app of the route. Unlike an endpoint, it can count a request until its response is
    sent.

    A party is an owner, an address or, if empty, all clients. At most two regions are created at a
    time, so that they do not slow down the network. Only the event loop's thread uses the counts,
    so they need no lock.
    """

    def __init__(self) -> None:
        self._open = Counter[tuple[str, ...]]()
        self._creating = CapacityLimiter(_CONCURRENT)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a region as a JPEG, or as a PNG if it has transparency. Raises HTTPException and
        EnhanceError."""
        request = Request(scope, receive)
        services = services_of(scope)
        caller, path = _check_address(services, request)
        with self._admit(caller):  # Until it is sent, because a slow client keeps it in memory.
            try:
                work = partial(_encode_region, services, path, request)
                content, media_type = await to_thread.run_sync(work, limiter=self._creating)
            except EnhanceError as error:  # The file was deleted.
                raise HTTPException(404) from error
            headers = {"cache-control": "private, max-age=3600, immutable"}
            response = Response(content, media_type=media_type, headers=headers)
            await response(scope, receive, send)

    @contextmanager
    def _admit(self, caller: tuple[str, ...]) -> Iterator[None]:
        """Count a request of a caller inside the block. Raises EnhanceError at a limit."""
        # The caller of a user is one part, so a user has the limit of an address.
        limits = {caller: _PER_OWNER, caller[:1]: _PER_ADDRESS, (): _IN_TOTAL}
        for party, limit in limits.items():
            if self._open[party] >= limit:
                raise EnhanceError("regions_full", limit=limit)
        self._open.update(limits.keys())
        try:
            yield
        finally:
            self._open.subtract(limits.keys())
            self._open = +self._open  # without the parties that have no request


def _check_address(services: Services, request: Request) -> tuple[tuple[str, ...], Path]:
    """Return the caller and the path of the file. Raises HTTPException if the address does not
    belong to the client."""
    signed = services.addresses.find(**request.path_params)
    if signed is None:
        raise HTTPException(404)
    digest, path = signed
    owner = owner_of(client_request(request, digest))
    if owner.is_lasting and owner.digest != digest:
        raise HTTPException(404)
    services.downloads.note_use(path)
    return owner.caller, path


def _encode_region(services: Services, path: Path, request: Request) -> tuple[bytes, str]:
    """Return a region of a photo or a result as a file, and its media type."""
    if request.path_params["kind"] == "photo":
        if not path.exists():  # It can still be in memory.
            raise HTTPException(404)
        image = services.previews.image(path)
        box, step = _requested_region(request, image.size)
        region = read_region(image.rows, box, step)
        return encode_for_screen(region, icc_for_screen(image))
    with PngReader(path) as png:
        box, step = _requested_region(request, png.size)
        region = read_region(png.rows, box, step)
        icc = None
        if png.channels > 2:
            icc = png.icc
        return encode_for_screen(region, icc)


def _requested_region(request: Request, size: Size) -> tuple[Box, int]:
    """Return the region of a request in an image of this size, and the step. Raises
    HTTPException."""
    try:
        *sides, step = (
            int(request.query_params[name]) for name in ("left", "top", "width", "height", "step")
        )
    except (KeyError, ValueError) as error:
        raise HTTPException(400) from error
    box = Box(*sides)
    is_inside = box == box.intersection(Box(0, 0, *size))
    is_small = box.size.pixels <= _MAX_PIXELS * step * step
    if not (is_inside and is_small and 1 <= step <= _MAX_STEP):
        raise HTTPException(400)
    return box, step


def regions_route() -> Route:
    """Return the route of one app, which counts its requests."""
    return Route("/regions/{token}/{kind}/{name}/{file:path}", _Regions(), methods=["GET"])
