"""The first source: Hugging Face, a file at a pinned revision, from its own cache on this machine or over the network.

huggingface_hub knows the cache, the address, the token and the HTTP client.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ..errors import WeightsError
from .download import Address
from .manifest import HubSource

PUBLIC = "https://huggingface.co"

_TRUE = {"1", "ON", "YES", "TRUE"}


def cached(source: HubSource) -> Iterator[Path]:
    """The copies in Hugging Face's own cache, as another program or a Space's preload_from_hub left them; unverified.

    A preload without a revision is of the branch main.
    """
    from huggingface_hub import try_to_load_from_cache

    for revision in dict.fromkeys((source.revision, "main")):
        with suppress(OSError):  # another program's folder: what cannot be read there is not there
            if isinstance(found := try_to_load_from_cache(source.repo, source.path, revision=revision), str):
                yield Path(found)


def address(source: HubSource) -> Address:
    """Where the file is asked for. Raises WeightsError, a clause, where HF_HUB_OFFLINE forbids it."""
    from huggingface_hub import constants, get_token
    from huggingface_hub.utils import get_session

    if is_offline():
        raise WeightsError("download_offline")
    token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
    return Address(
        url(source, os.environ.get("HF_ENDPOINT", "").rstrip("/") or None),
        path=f"{source.repo}@{source.revision[:7]}/{source.path}",
        variable="HF_ENDPOINT",
        client=get_session(),
        headers={"Authorization": f"Bearer {token}"} if token else {},
        token="HF_TOKEN",
    )


def url(source: HubSource, endpoint: str | None = PUBLIC) -> str:
    """The file's address on Hugging Face, or on the mirror `endpoint`; None: the one that huggingface_hub has."""
    from huggingface_hub import hf_hub_url

    return hf_hub_url(source.repo, source.path, revision=source.revision, endpoint=endpoint)


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE says that nothing is to be asked of the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE
