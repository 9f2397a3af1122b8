"""Content Credentials (C2PA): those of the input are reported, and results are signed with a certificate."""

from __future__ import annotations

import io
import json
import socket
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding as Pem
from cryptography.hazmat.primitives.serialization import NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image

from enhance import Enhancer
from enhance.config import read_config
from enhance.errors import EnhanceError, SettingsError
from enhance.images import read_image
from enhance.output import credentials, jxl
from enhance.output.formats import FORMATS, Encoding
from tests.unit.gain_map_files import attached_image, packet, ultra_hdr
from tests.unit.image_files import encode
from tests.unit.test_label import COMPOSITE, ENHANCED, VOCABULARY

ENDINGS = [form.ending for name, form in FORMATS.items() if name != "jxl" or jxl.is_available()]
INPUTS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "AVIF": "image/avif", "TIFF": "image/tiff"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    """Return the PEM files of a certificate chain and of its key."""
    folder, now = tmp_path_factory.mktemp("certificate"), datetime.now(timezone.utc)
    root, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def issue(name: str, key: ec.EllipticCurvePrivateKey, *, ca: bool) -> bytes:
        subject, issuer = (
            x509.Name([x509.NameAttribute(kind, text) for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)])
            for text in (name, "Root")
        )
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
        )
        usage |= {"digital_signature": not ca, "key_cert_sign": ca, "crl_sign": ca, "decipher_only": False}
        built = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        built = built.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=2))
        built = built.add_extension(x509.BasicConstraints(ca, None), critical=True)
        built = built.add_extension(x509.KeyUsage(**usage), critical=True)
        built = built.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), False)
        if not ca:
            built = built.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
        return built.sign(root, hashes.SHA256()).public_bytes(Pem.PEM)

    (folder / "chain.pem").write_bytes(issue("Operator", own, ca=False) + issue("Root", root, ca=True))
    (folder / "key.pem").write_bytes(own.private_bytes(Pem.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "chain.pem", folder / "key.pem"


@pytest.fixture
def signing(certificate, monkeypatch) -> None:
    """Sign all results of the test."""
    monkeypatch.setattr(credentials, "_certificate", None)
    credentials.use_certificate(*certificate)


def sign_photo(photo: np.ndarray, kind: str, certificate: tuple[Path, Path], **options: Any) -> bytes:
    """Return a photo of this format with Content Credentials that state a digital capture."""
    action = {"action": "c2pa.created", "digitalSourceType": f"{VOCABULARY}digitalCapture"}
    manifest = {"title": "photo", "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}]}
    chain, key = (path.read_bytes() for path in certificate)
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", chain, key, None))
    signed = io.BytesIO()
    content = io.BytesIO(encode(Image.fromarray(photo), kind, **options))
    c2pa.Builder(json.dumps(manifest)).sign(signer, INPUTS[kind], content, signed)
    return signed.getvalue()


def credentials_of(path: Path) -> dict[str, Any]:
    """Return the manifests that the reader of c2pa accepts as valid."""
    reader = c2pa.Reader(str(path))
    assert reader.get_validation_state() == "Valid"
    return json.loads(reader.json())


def active_of(path: Path) -> dict[str, Any]:
    found = credentials_of(path)
    return found["manifests"][found["active_manifest"]]


def actions_of(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the digital source types of the actions."""
    (assertion,) = (one for one in manifest["assertions"] if one["label"].startswith("c2pa.actions"))
    return {one["action"]: one.get("digitalSourceType") for one in assertion["data"]["actions"]}


@pytest.mark.parametrize("kind", INPUTS)
def test_credentials_of_the_photo_are_noted(photo, tmp_path, certificate, kind):
    (tmp_path / "photo").write_bytes(sign_photo(photo, kind, certificate))
    assert read_image(tmp_path / "photo").metadata.notes == ("credentials_left",)
    (tmp_path / "plain").write_bytes(encode(Image.fromarray(photo), kind))
    assert read_image(tmp_path / "plain").metadata.notes == ()


def photo_with_link(photo: np.ndarray, address: str) -> bytes:
    """Return a JPEG whose XMP states where its Content Credentials are."""
    link = f' xmlns:dcterms="http://purl.org/dc/terms/" dcterms:provenance="{address}"'.encode()
    return encode(Image.fromarray(photo), "JPEG", xmp=packet(link))


def test_link_to_credentials_is_noted_and_removed(photo, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(photo_with_link(photo, "https://a.example/m"))
    metadata = read_image(tmp_path / "photo.jpg").metadata
    assert metadata.notes == ("credentials_left",)
    assert b"a.example" not in (metadata.xmp or b"")


@pytest.mark.usefixtures("fresh_store", "signing")
@pytest.mark.parametrize("ending", ENDINGS)
def test_signed_result_states_the_photo_and_the_edit(photo, tmp_path, enhancer, certificate, ending):
    source, output = tmp_path / "photo.jpg", tmp_path / f"out{ending}"
    source.write_bytes(sign_photo(photo, "JPEG", certificate))
    result = enhancer.run(source, "anime-fast", output=output)

    found = active_of(output)
    assert actions_of(found) == {"c2pa.opened": None, "c2pa.edited": VOCABULARY + ENHANCED}
    (parent,) = found["ingredients"]
    assert parent["relationship"] == "parentOf"
    assert actions_of(credentials_of(output)["manifests"][parent["active_manifest"]]) == {
        "c2pa.created": f"{VOCABULARY}digitalCapture"
    }
    assert "credentials_left" not in result.info["output"]["notes"]
    assert enhancer.run(source, "anime-fast", output=output).info["cached"], "a signed result is recognised"
    assert [path.name for path in tmp_path.glob(".*")] == []


@pytest.mark.usefixtures("fresh_store", "signing")
def test_files_of_a_stored_result_are_signed(photo_file, tmp_path, enhancer):
    result = enhancer.run(photo_file, "anime-fast")
    assert result.path.parent.name == "encoded"
    for path in (result.path, result.save(tmp_path / "copy.tif").path, result.save(tmp_path / "copy.png").path):
        assert actions_of(active_of(path))["c2pa.edited"] == VOCABULARY + ENHANCED
    assert (result.array == read_image(result.path).rgb).all()


@pytest.mark.usefixtures("fresh_store", "signing")
def test_credentials_of_the_photo_are_left_out_with_its_metadata(photo, tmp_path, enhancer, certificate):
    (tmp_path / "photo.jpg").write_bytes(sign_photo(photo, "JPEG", certificate))
    for metadata in ("no-location", "none"):
        output = tmp_path / f"{metadata}.jpg"
        result = enhancer.run(
            tmp_path / "photo.jpg", "anime-fast", output=output, encoding=Encoding("jpeg", 92, metadata)
        )
        assert len(credentials_of(output)["manifests"]) == 1
        assert result.info["output"]["notes"] == ["credentials_left"]


@pytest.mark.usefixtures("fresh_store", "signing")
def test_signing_connects_to_no_address_of_the_photo(photo, tmp_path, enhancer):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/m.c2pa"
        (tmp_path / "photo.jpg").write_bytes(photo_with_link(photo, address))
        enhancer.run(tmp_path / "photo.jpg", "anime-fast", output=tmp_path / "out.png")
        with pytest.raises(BlockingIOError):
            server.accept()
    assert actions_of(active_of(tmp_path / "out.png"))["c2pa.edited"] in (VOCABULARY + ENHANCED, VOCABULARY + COMPOSITE)


@pytest.mark.usefixtures("fresh_store")
def test_failure_to_sign_leaves_nothing(photo_file, tmp_path, enhancer, certificate, monkeypatch):
    (tmp_path / "key.pem").write_text("no key")
    monkeypatch.setattr(credentials, "_certificate", None)
    credentials.use_certificate(certificate[0], tmp_path / "key.pem")
    (tmp_path / "out").mkdir()
    with pytest.raises(EnhanceError, match=r"Cannot sign out.png with Content Credentials \(.+\)\. Administrators"):
        enhancer.run(photo_file, "anime-fast", output=tmp_path / "out" / "out.png")
    assert list((tmp_path / "out").iterdir()) == []


def test_variables_name_the_certificate_and_its_key(certificate, monkeypatch, tmp_path):
    monkeypatch.setattr(credentials, "_certificate", None)
    chain, key = map(str, certificate)
    Enhancer(data=tmp_path, config=read_config({"ENHANCE_C2PA_CERT": chain, "ENHANCE_C2PA_KEY": key}))
    assert credentials.is_signing()
    with pytest.raises(SettingsError, match="Only one of ENHANCE_C2PA_CERT and ENHANCE_C2PA_KEY"):
        Enhancer(config=read_config({"ENHANCE_C2PA_CERT": chain}))
    with pytest.raises(SettingsError, match=r"ENHANCE_C2PA_KEY cannot be “nowhere\.pem”"):
        read_config({"ENHANCE_C2PA_CERT": chain, "ENHANCE_C2PA_KEY": "nowhere.pem"})


def test_signed_jpeg_keeps_its_gain_map(photo, tmp_path, enhancer, signing):
    (tmp_path / "ultra.jpg").write_bytes(ultra_hdr(photo))
    result = enhancer.run(tmp_path / "ultra.jpg", "anime-fast").save(tmp_path / "signed.jpg")
    assert credentials_of(result.path)
    with Image.open(attached_image(result.path)) as attached:
        attached.load()
        assert attached.size == (80, 112)
