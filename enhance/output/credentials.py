"""Content Credentials (C2PA): signing of output files with the certificate of the administrator.

The package c2pa is optional. It reads the credentials of untrusted inputs, so it runs in a child process, and its
settings allow no network access.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from ..config import version
from ..errors import EnhanceError, SettingsError
from ..images.header import detect_format
from ..images.source_type import source_uri
from ..processes import temporary_path

_SECONDS = 600
_SETTINGS = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": False},
    "builder": {"thumbnail": {"enabled": False}},
}
_UNKNOWN = "application/octet-stream"
"""A format whose files have no credentials."""
_MEDIA_TYPES = {
    "HEIF": "image/heic",
    **{name: f"image/{name.lower()}" for name in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")},
}


_certificate: tuple[str, str] | None = None
"""PEM files of the certificate chain and of its private key."""


def use_certificate(chain: Path | None, key: Path | None) -> None:
    """Sign all output files of this process with a certificate, or none. Raises SettingsError if it cannot be used."""
    global _certificate
    if (chain is None) != (key is None):
        raise SettingsError("config_certificate")
    if chain and not importlib.util.find_spec("c2pa"):
        raise SettingsError("config_c2pa")
    _certificate = (str(chain), str(key)) if chain else None


def is_signing() -> bool:
    return _certificate is not None


def sign(file: Path, name: str, media_type: str, source: Path | None, source_type: str | None) -> None:
    """Add Content Credentials to the finished `file`, whose final name is `name`.

    The credentials state that the file was made from `source`, with the credentials of `source`, and the digital source
    type of the edit. Without `source` they state an input without credentials. Raises EnhanceError.
    """
    signed = temporary_path(file)
    task = {
        "certificate": _certificate,
        "file": str(file),
        "signed": str(signed),
        "media_type": media_type,
        "title": name,
        "source": str(source) if source and source.is_file() else os.devnull,
        "source_type": source_type,
    }
    command = [sys.executable, "-m", "enhance.output.credentials"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        subprocess.run(
            command,
            input=json.dumps(task),
            env=environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
        signed.replace(file)
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or [f"status {error.returncode}"])[-1]
        raise EnhanceError("not_signed", name=name, reason=reason) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnhanceError("not_signed", name=name, reason=str(error)) from error
    finally:
        signed.unlink(missing_ok=True)


def _sign(
    certificate: tuple[str, str],
    file: str,
    signed: str,
    media_type: str,
    title: str,
    source: str,
    source_type: str | None,
) -> None:
    """Sign `file`, which becomes `signed`, as an edit of `source`, in the child process."""
    import c2pa

    context = c2pa.Context(settings=c2pa.Settings.from_dict(_SETTINGS))
    agent = {"name": "Enhance", "version": version()}
    edited = {"action": "c2pa.edited", "softwareAgent": agent}
    if source_type:
        edited["digitalSourceType"] = source_uri(source_type)
    opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["input"]}}
    actions = {"label": "c2pa.actions.v2", "data": {"actions": [opened, edited]}}
    manifest = {"claim_generator_info": [agent], "title": title, "assertions": [actions]}
    builder = c2pa.Builder(json.dumps(manifest), context)
    ingredient = {"title": "input", "relationship": "parentOf", "instance_id": "input", "label": "input"}
    with Path(source).open("rb") as opened_source:
        source_media_type = _MEDIA_TYPES.get(detect_format(opened_source.read(64)) or "", _UNKNOWN)
        opened_source.seek(0)
        builder.add_ingredient(json.dumps(ingredient), source_media_type, opened_source)
    chain, key = (Path(one).read_bytes() for one in certificate)
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(_algorithm(key), chain, key, None))
    with Path(file).open("rb") as unsigned, Path(signed).open("wb+") as target:
        builder.sign(signer, media_type, unsigned, target)


def _algorithm(key: bytes) -> bytes:
    """Return the signature algorithm of C2PA for a private key in PEM (C2PA specification 2.2, 13.2)."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    loaded = load_pem_private_key(key, None)
    if isinstance(loaded, ed25519.Ed25519PrivateKey):
        return b"ed25519"
    if isinstance(loaded, ec.EllipticCurvePrivateKey):
        return {256: b"es256", 384: b"es384", 521: b"es512"}[loaded.curve.key_size]
    return b"ps256"


def _main() -> None:
    try:
        _sign(**json.load(sys.stdin))
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    _main()
