"""The second source: the releases of the models' authors on GitHub, or on a mirror of it, ENHANCE_RELEASES."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from ..errors import WeightsError
from .download import Address
from .hub import is_offline
from .manifest import ReleaseSource

PUBLIC = "https://github.com"


def address(source: ReleaseSource) -> Address:
    """Where the file is asked for.

    Raises WeightsError, a clause, where HF_HUB_OFFLINE forbids it: then only a mirror that was named is asked.
    """
    mirror = os.environ.get("ENHANCE_RELEASES", "").strip().rstrip("/")
    if is_offline() and not mirror:
        raise WeightsError("download_offline")
    path = url(source, "").lstrip("/")
    return Address(url(source, mirror or PUBLIC), path=path, variable="ENHANCE_RELEASES", client=_client())


def url(source: ReleaseSource, server: str = PUBLIC) -> str:
    """The file's address on GitHub, or on another server."""
    return f"{server}/{source.repo}/releases/download/{source.tag}/{source.file}"


@cache
def _client() -> Any:
    """A client of huggingface_hub's kind, without what it adds to each request and forbids when it is offline."""
    from huggingface_hub.utils import get_session

    return type(get_session())()
