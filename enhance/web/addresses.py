"""Signed addresses of images, because a browser's requests for images cannot contain a key in a
header.

An address belongs to one owner and one file, and it expires. The servers of a data folder share the
secret of the signatures, so each of them accepts the addresses of the others.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from .owners import Owner

VALID_SECONDS = 6 * 3600
"""The minimum validity of an address. The maximum is twice as long."""


class Addresses:
    """The addresses of images in these folders, whose names are part of the addresses."""

    def __init__(self, secret: str, folders: Mapping[str, Path]):
        self._secret = secret.encode()
        self._folders = folders

    def region_address(self, owner: Owner, kind: str, path: Path) -> str | None:
        """Return the address of regions of a `photo` or a `result`, relative to the page.

        Return None for a file outside the folders. The address stays the same for hours, so that
        browsers can cache the regions.
        """
        for name, folder in self._folders.items():
            with suppress(ValueError):  # The file is not in this folder.
                file = path.resolve().relative_to(folder.resolve()).as_posix()
                expires = (int(time.time()) // VALID_SECONDS + 2) * VALID_SECONDS
                token = self._token(owner.digest, str(expires), kind, name, file)
                return f"regions/{token}/{kind}/{name}/{quote(file)}"
        return None

    def find(self, token: str, kind: str, name: str, file: str) -> tuple[str, Path] | None:
        """Return the digest of the owner and the path of the file for a valid address, None for any
        other."""
        digest, _, rest = token.partition(".")
        expires = rest.partition(".")[0]
        expected = self._token(digest, expires, kind, name, file)
        if not hmac.compare_digest(expected.encode(), token.encode()):
            return None
        # The signature is correct, so `expires` is a number.
        if int(expires) < time.time() or name not in self._folders:
            return None
        return digest, self._folders[name] / file

    def _token(self, digest: str, expires: str, kind: str, name: str, file: str) -> str:
        message = json.dumps([digest, expires, kind, name, file])
        signature = hmac.digest(self._secret, message.encode(), hashlib.sha256)
        return f"{digest}.{expires}.{signature.hex()}"
