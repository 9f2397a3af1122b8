"""The chunks of a PNG: finding them, and reading and writing those with metadata (PNG
specification, 3rd edition)."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import BinaryIO

from .containers import LARGEST_BLOCK, Chunk, chunk_content, first_chunks
from .exif import plausible_dpi, read_dpi, without_prefix
from .iptc import extract_iptc, photoshop_resource
from .metadata import MAX_TEXTS, MAX_TEXTS_LENGTH, Metadata
from .xmp import accept_xmp

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""The colour type by the number of channels, except a palette."""
_RAW_PROFILE = "Raw profile type "
_XMP_KEYWORD = "XML:com.adobe.xmp"
_LARGEST_TEXT = 2 * LARGEST_BLOCK
"""A block that is stored as text has two digits for each byte."""
_INCH = 0.0254

# The decoder gets only these chunks, so that a decompression bomb in another chunk has no effect.
_PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


def make_chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk: length, kind, content and checksum (section 5.3)."""
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


END = make_chunk(b"IEND", b"")
"""The last chunk of every PNG."""


def scan_chunks(file: BinaryIO) -> list[Chunk]:
    """Return the chunks up to IEND, without reading their content.

    Raises EOFError if the file ends too early, and ValueError if it is no sequence of chunks.
    """
    size = file.seek(0, 2)
    position = len(SIGNATURE)
    found: list[Chunk] = []
    while True:
        file.seek(position)
        header = file.read(8)
        if len(header) < 8:
            raise EOFError("the file ends before the last chunk")
        length, kind = struct.unpack(">I4s", header)
        if not kind.isalpha():
            raise ValueError(f"{kind!r} is no chunk name")
        if position + 12 + length > size:
            raise EOFError(f"the file ends inside a {kind.decode()} chunk")
        found.append(Chunk(kind, position + 8, length))
        if kind == b"IEND":
            return found
        position += 12 + length


def read_chunk(file: BinaryIO, chunk: Chunk) -> bytes:
    """Return all bytes of a chunk. Raises ValueError if its checksum does not match."""
    file.seek(chunk.start - 8)
    content = file.read(chunk.length + 12)
    checksum = int.from_bytes(content[-4:], "big")
    if zlib.crc32(memoryview(content)[4:-4]) != checksum:
        raise ValueError(f"the checksum of a {chunk.kind.decode()} chunk does not match")
    return content


def pixel_chunks(file: BinaryIO) -> bytes:
    """Return the PNG with only the chunks that a decoder needs.

    Raises ValueError if a checksum does not match.
    """
    needed = (chunk for chunk in scan_chunks(file) if chunk.kind in _PIXEL_CHUNKS)
    return b"".join([SIGNATURE, *(read_chunk(file, chunk) for chunk in needed)])


def read_profile(file: BinaryIO, chunks: Sequence[Chunk]) -> bytes | None:
    """Return the colour profile; None if there is none or it is damaged."""
    _, _, rest = chunk_content(file, first_chunks(chunks).get(b"iCCP")).partition(b"\0")
    with suppress(ValueError, zlib.error):
        return _inflate(rest[1:], LARGEST_BLOCK)
    return None


def profile_chunk(icc: bytes) -> bytes:
    return make_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))


def read_metadata(file: BinaryIO, chunks: Sequence[Chunk]) -> Metadata:
    """Return the metadata without damaged blocks."""
    texts, blocks = _read_texts(file, chunks)
    first = first_chunks(chunks)
    exif = without_prefix(chunk_content(file, first.get(b"eXIf")))
    exif = exif or without_prefix(blocks.get("exif") or blocks.get("APP1"))
    return Metadata(
        exif,
        xmp=accept_xmp(blocks.get("xmp")),
        iptc=extract_iptc(blocks.get("iptc") or blocks.get("8bim") or b""),
        texts=tuple(texts),
        dpi=_read_resolution(chunk_content(file, first.get(b"pHYs"))) or read_dpi(exif),
    )


def metadata_chunks(metadata: Metadata) -> Iterator[bytes]:
    """Yield the chunks that carry metadata.

    These are pHYs, eXIf, XMP as iTXt, IPTC as ImageMagick writes it, and texts.
    """
    if metadata.dpi:
        across, down = (max(1, round(dots / _INCH)) for dots in metadata.dpi)
        yield make_chunk(b"pHYs", struct.pack(">IIB", across, down, 1))
    if metadata.exif:
        yield make_chunk(b"eXIf", metadata.exif)
    if metadata.xmp:
        # Neither compressed nor with a language.
        yield make_chunk(b"iTXt", _XMP_KEYWORD.encode() + bytes(5) + metadata.xmp)
    if metadata.iptc:
        text = profile_text("iptc", photoshop_resource(metadata.iptc)).encode("ascii")
        yield make_chunk(b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(text))
    for key, value in metadata.texts:  # tEXt holds Latin-1, iTXt UTF-8 (section 11.3.3).
        keyword = key.encode("latin-1")
        try:
            yield make_chunk(b"tEXt", keyword + b"\0" + value.encode("latin-1"))
        except UnicodeEncodeError:
            yield make_chunk(b"iTXt", keyword + bytes(5) + value.encode("utf-8"))


def profile_text(name: str, content: bytes) -> str:
    """Return a block as a "Raw profile type" text of ImageMagick."""
    digits = content.hex()
    lines = re.findall(".{1,72}", digits)
    return "\n".join(["", name, f"{len(content):8d}", *lines, ""])


def _read_resolution(content: bytes) -> tuple[float, float] | None:
    """Return the dots per inch in a pHYs chunk, None if it states only the shape of a pixel."""
    if len(content) != 9 or content[8] != 1:
        return None
    across, down = struct.unpack_from(">II", content)
    return plausible_dpi(across * _INCH, down * _INCH)


def _inflate(packed: bytes, limit: int) -> bytes:
    """Return inflated data.

    Raises ValueError or zlib.error if it is damaged, truncated, or over `limit` bytes.
    """
    inflater = zlib.decompressobj()
    content = inflater.decompress(packed, limit)
    if not inflater.eof:
        raise ValueError("it is truncated or too large")
    return content


def _read_texts(
    file: BinaryIO, chunks: Iterable[Chunk]
) -> tuple[list[tuple[str, str]], dict[str, bytes]]:
    """Return the texts (keyword, value), and the blocks that are stored as texts.

    The names of blocks are "xmp", "exif", "iptc" and so on. Texts that are damaged or too large are
    left out.
    """
    texts: list[tuple[str, str]] = []
    blocks: dict[str, bytes] = {}
    remaining = MAX_TEXTS_LENGTH
    for chunk in chunks:
        if chunk.kind not in (b"tEXt", b"zTXt", b"iTXt"):
            continue
        with suppress(ValueError, zlib.error):
            key, value = _text_in(chunk.kind, chunk_content(file, chunk))
            if key == _XMP_KEYWORD:
                blocks["xmp"] = value.encode("utf-8")
            elif key.startswith(_RAW_PROFILE):
                blocks.setdefault(key.removeprefix(_RAW_PROFILE), _profile_in(value))
            elif len(texts) < MAX_TEXTS and len(value) <= remaining:
                texts.append((key, value))
                remaining -= len(value)
    return texts, blocks


def _text_in(kind: bytes, content: bytes) -> tuple[str, str]:
    """Return the keyword and the value of a text chunk (section 11.3.3).

    Raises ValueError or zlib.error if it is damaged or too large.
    """
    keyword, _, value = content.partition(b"\0")
    encoding = "latin-1"
    is_compressed = kind == b"zTXt"
    if kind == b"zTXt":
        value = value[1:]
    elif kind == b"iTXt":
        encoding = "utf-8"
        is_compressed = value[:1] == b"\1"
        value = value[2:].split(b"\0", 2)[-1]
    if not 1 <= len(keyword) <= 79:
        raise ValueError("the length of its keyword is out of bounds")
    if is_compressed:
        value = _inflate(value, _LARGEST_TEXT)
    return keyword.decode("latin-1"), value.decode(encoding).replace("\0", "")


def _profile_in(text: str) -> bytes:
    """Return the block in a "Raw profile type" text of ImageMagick.

    The text has a name, a length and hexadecimal digits.
    """
    _, length, *digits = text.split(maxsplit=2)
    content = bytes.fromhex("".join(digits))
    if len(content) != int(length):
        raise ValueError("it is truncated")
    return content
