"""The files of a batch: folders, addresses, lists and shards."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import EnhanceError, PictureError, SettingsError
from ..images import Listing, list_images
from ..json_object import JsonObject
from ..metadata.provenance import origin_of
from ..settings import Settings, as_settings
from ..store.names import ResultNames, plan_names
from ..store.remote import RemoteNames, check_bucket, is_address, list_address, stored_at
from .batch import Batch, BatchFile, plan


@dataclass(frozen=True)
class Shard:
    """One of `count` fixed parts of a batch. The relative path of a file determines its part."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Parse a shard such as 2/5. Raises SettingsError."""
        if text == "auto":
            raise SettingsError("shard_auto")
        match = re.fullmatch("([0-9]{1,6})/([0-9]{1,6})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise SettingsError("shard_wrong", value=text)
        return cls(int(match[1]), int(match[2]))

    def includes(self, file: BatchFile) -> bool:
        name = file.named_after.as_posix().encode("utf-8", "surrogateescape")
        digest = hashlib.sha256(name).digest()
        return int.from_bytes(digest, "big") % self.count == self.number - 1


def find_images(
    inputs: Sequence[Path | str],
    output: Path | str | None = None,
    shard: Shard = Shard(),
    ending: str = ".png",
    listed: Iterable[BatchFile] = (),
) -> Batch:
    """Return a batch of the files in `inputs`, the images in its folders and the files in `listed`.

    Inputs and `output` can be fsspec addresses. Without an output, each result is put next to its
    file. Results of this program in folders are not inputs. `shard` selects a part of the files. A
    folder that cannot be read is a failed file. Raises StorageError, PictureError if there is
    nothing at an address, EnhanceError if nothing is found.
    """
    addresses = [path for path in inputs if is_address(path)]
    paths = [Path(path) for path in inputs if not is_address(path)]
    listing = list_images(paths, lambda path: origin_of(path).signature is not None)
    files = [BatchFile(image.path, image.relative_path) for image in listing.images]
    files += _list_addresses(addresses, output, listing)
    files += listed
    if not files and not listing.unreadable:
        raise EnhanceError("no_images")
    if output is None:
        files = [_beside(file, ending) for file in files]
    else:
        files = with_targets(files, ending)
    files = [file for file in files if shard.includes(file)]
    for folder in listing.unreadable:  # They have failed in all shards.
        error = PictureError("folder_closed", name=folder.relative_path.as_posix())
        files.append(BatchFile(folder.path, folder.relative_path, state="failed", error=error))
    names = ResultNames(Path(output or ""))
    if is_address(output):
        check_bucket(output)
        names = RemoteNames(output)
    batch = plan(files, names)
    return replace(batch, hidden=listing.hidden, others=listing.others)


def _beside(file: BatchFile, ending: str) -> BatchFile:
    """Return a file whose result is saved next to it. Its run adds the size to the name."""
    target = file.source.absolute().with_name(file.named_after.stem + ending)
    return replace(file, target=target)


def with_targets(files: Sequence[BatchFile], ending: str = ".png") -> list[BatchFile]:
    """Return all files of a batch with the names of their results, which end in `ending`."""
    names = [(file.named_after, file.relative_path.suffix) for file in files]
    targets = plan_names(names, ending)
    return [replace(file, target=target) for file, target in zip(files, targets, strict=True)]


def read_list(path: Path) -> list[BatchFile]:
    """Return the files of a list: a path or address in each line, or in a .jsonl file an object in
    each line.

    The keys of an object are `input`, and optionally `output`, a path below the output folder, and
    `settings`, which replace the settings of the batch for this file. Raises SettingsError.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise SettingsError("list_unreadable", file=path, reason=str(error)) from error
    return [
        _listed_file(path, number, line.strip())
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]


def _listed_file(path: Path, number: int, line: str) -> BatchFile:
    try:
        entry: JsonObject = {"input": line}
        if path.suffix == ".jsonl":
            entry = json.loads(line)
        output = Path(entry.get("output") or "")
        if output.anchor or any(part.startswith(".") for part in output.parts):
            raise ValueError(f"output: {output}")
        settings = None
        if entry.get("settings"):
            settings = as_settings(Settings(**entry["settings"]))
        name = entry["input"]
        source = Path(name)
        file = BatchFile(source, Path(source.name), settings=settings, entry=entry)
    except Exception as error:  # an object of any shape
        raise SettingsError("list_line", file=path, line=number, reason=str(error)) from error
    if not is_address(name):
        return file
    # All addresses of a list count the same, because their sizes are not known.
    return replace(file, address=name, bytes=1)


def _list_addresses(
    addresses: Iterable[str], output: Path | str | None, listing: Listing
) -> list[BatchFile]:
    """Return the images at the addresses, each once, and count skipped files in the listing."""

    def is_result(address: str) -> bool:
        if not is_address(output) or not address.startswith(f"{output.rstrip('/')}/"):
            return False
        stored = stored_at(address)
        return stored is not None and stored.origin.signature is not None

    files = dict[str, BatchFile]()
    for address in addresses:
        for found, path, size in list_address(address, is_result, listing):
            files[found] = BatchFile(Path(path.name), path, address=found, bytes=size)
    return list(files.values())
