"""The command `enhance weights`: list, find, fetch, verify, add and remove models."""

from __future__ import annotations

import json
import re
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EnhanceError, WeightsError
from ..json_object import JsonObject
from ..models.catalogue import add_by_name, find, get
from ..models.download import DownloadProgress
from ..models.manifest import UNKNOWN_LICENCE, Model, allows_commercial_use
from ..models.user_models import add, own_models, remove
from ..models.weights import WeightStore, ensure, rename_corrupt_files, verify_files
from ..models.weights_folder import forget_digests

DEFAULT_SET = ("realesrgan-x4plus", "realesrgan-x4plus-anime", "realesr-animevideov3")
OPTIONAL = ("span-x4", "realesr-general-x4v3", "realesr-general-wdn-x4v3")
"""Downloaded with the default set, but not an error if they are not available."""

Records = list[JsonObject]
"""The JSON objects of models."""


@dataclass(frozen=True)
class Outcome:
    """What a command prints, as JSON or as text, and its exit status."""

    records: Records
    text: str
    status: int = 0


def run_weights(options: Namespace) -> int:
    """Run the command that `add_commands` parsed and return its exit status."""
    outcome = options.work(options, WeightStore())
    if options.json:
        print(json.dumps(outcome.records, indent=2))
    else:
        print(outcome.text)
    return outcome.status


def add_commands(parser: ArgumentParser) -> None:
    """Add the commands for models to the parser of `enhance weights`."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, work: object, text: str) -> ArgumentParser:
        part = commands.add_parser(name, help=text, description=text)
        part.add_argument("--json", action="store_true", help="print the result as a JSON array")
        part.set_defaults(work=work)
        return part

    command("list", _list, "list all models with their status and source")
    finding = command("find", _find, "find models by other authors that can be added by name")
    finding.add_argument(
        "text",
        nargs="*",
        metavar="TEXT",
        help="words of the name, architecture, author, licence or purpose",
    )
    finding.add_argument(
        "--photo", action="store_true", help="only models that were trained on photos"
    )
    finding.add_argument(
        "--commercial", action="store_true", help="only models whose licence permits commercial use"
    )
    fetch = command("fetch", _fetch, "download models").add_mutually_exclusive_group()
    text = f"model, as shown by list (default: {', '.join((*DEFAULT_SET, *OPTIONAL))})"
    names: Any = fetch.add_argument(
        "names", nargs="*", type=_shipped_model, default=[], metavar="NAME", help=text
    )
    names.completer = lambda **_: WeightStore().models
    fetch.add_argument("--all", action="store_true", help="download all models")
    command(
        "verify",
        _verify,
        "verify the checksums of all model files and rename damaged files to *.corrupt",
    )
    adding = command("add", _add, "add a user model (.pth, .safetensors or ncnn) as a preset")
    text = (
        "a .pth or .safetensors file, a .param file next to its .bin file, or a name shown by find"
    )
    adding.add_argument("file", type=Path, metavar="FILE|NAME", help=text)
    adding.add_argument("--name", help="name of the model and its preset (default: the file name)")
    adding.add_argument(
        "--licence", metavar="TEXT", help="licence of the model in FILE, for example CC-BY-4.0"
    )
    command("remove", _remove, "remove a user model and delete its file").add_argument(
        "own", metavar="NAME", help="name of a user model, as shown by list"
    )


def _shipped_model(name: str) -> str:
    known = WeightStore().models
    if name not in known:
        text = f"Unknown model {name!r}. Choose from {', '.join(known)}."
        raise ArgumentTypeError(text)
    return name


def _list(options: Namespace, store: WeightStore) -> Outcome:
    records = [_record(name, store) for name in _all_names(store)]
    text = _table(records, "name", "size", "status", "licence", "source", "purpose")
    missing = [record for record in records if record.get("by_hand")]
    if missing:
        text += "\n\nRun `enhance weights fetch NAME` to download a model, "
        text += f"or put its file into {store.folder}:"
    for record in missing:
        text += "\n  {name}: {file} from {url}".format(name=record["name"], **record["by_hand"])
    return Outcome(records, text)


def _find(options: Namespace, store: WeightStore) -> Outcome:
    words = " ".join(options.text)
    found = find(words, photo=options.photo, commercial=options.commercial)
    records = [_offer(model) for model in found]
    if records:
        columns = "name", "scale", "architecture", "size", "licence", "author", "purpose"
        text = _table(records, *columns)
        text += "\n\nRun `enhance weights add NAME` to download and add a model."
    else:
        text = "No model matches. Use fewer words, or run `enhance weights find` for all models."
    return Outcome(records, text)


def _offer(model: Model) -> JsonObject:
    """Return the JSON object of a model in the catalogue."""
    return {
        "name": model.name,
        "scale": model.scale,
        "author": model.author,
        "licence": model.licence,
        "bytes": model.bytes,
        "sha256": model.sha256,
        "purpose": model.purpose,
        "architecture": model.network,
        "commercial": allows_commercial_use(model.licence),
        "photo": model.for_photos,
        "url": model.sources[0].url,
    }


def _fetch(options: Namespace, store: WeightStore) -> Outcome:
    names = options.names
    optional = ()
    if options.all:
        names = list(store.models)
    elif not names:
        names = [*DEFAULT_SET, *OPTIONAL]
        optional = OPTIONAL
    records: Records = []
    status = 0
    for name in dict.fromkeys(names):
        error = None
        files = verify_files(name, store)
        if files.located is None:
            print(f"Downloading {name} ({files.model.bytes / 1e6:.1f} MB)", file=sys.stderr)
        try:
            with _progress(name) as progress:
                ensure(name, progress, store)
        except EnhanceError as failure:
            error = failure.message()
            if name in optional:
                text = f"Continuing without {name}. {error}"
            else:
                text = error
                status = 1
            print(text, file=sys.stderr)
        records.append({**_record(name, store), "error": error})
    return Outcome(records, _table(records, "name", "size", "status", "source"), status)


@contextmanager
def _progress(name: str) -> Iterator[DownloadProgress]:
    """Show the progress of a download, if the output is a terminal."""
    from tqdm import tqdm

    with tqdm(desc=name, unit="B", unit_scale=True, leave=False, disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress


def _verify(options: Namespace, store: WeightStore) -> Outcome:
    forget_digests()
    records: Records = []
    for name in _all_names(store):
        renamed = rename_corrupt_files(name, store)
        record = _record(name, store)
        record["set_aside"] = [str(path) for path in renamed]
        if renamed:
            record["status"] = "corrupt"
        if record["status"] != "missing" or record.get("own"):
            records.append(record)
    if not records:
        return Outcome(records, "No model is installed. Run `enhance weights fetch`.")
    status = int(any(record["status"] != "verified" for record in records))
    return Outcome(records, _table(records, "name", "size", "status", "source"), status)


def _add(options: Namespace, store: WeightStore) -> Outcome:
    if _is_offer(options.file):
        offer = get(str(options.file))
        if options.licence:
            raise WeightsError("weights_add_licence", name=offer.name)
        with _progress(offer.name) as progress:
            model = add_by_name(offer, options.name, store.folder, progress)
    else:
        licence = options.licence or UNKNOWN_LICENCE
        model = add(options.file, options.name, store.folder, licence=licence)
    records = [_record(model.name, store)]
    columns = "name", "scale", "size", "network", "licence", "source"
    return Outcome(records, _table(records, *columns))


def _is_offer(path: Path) -> bool:
    """Return whether a text is the name of a model in the catalogue: no file, folder or
    extension."""
    return not (path.exists() or len(path.parts) > 1 or re.search(r"\.[A-Za-z]+$", str(path)))


def _remove(options: Namespace, store: WeightStore) -> Outcome:
    model = remove(options.own, store.folder)
    return Outcome([{"name": model.name, "file": model.file}], f"Removed {model.name}.")


def _all_names(store: WeightStore) -> list[str]:
    return [*store.models, *own_models(store.folder)]


def _record(name: str, store: WeightStore) -> JsonObject:
    """Return the JSON object of a model."""
    files = verify_files(name, store)
    model = files.model
    located = files.located
    description = "User model: {network}, {scale}x, from {origin}.".format(**vars(model))
    record = {
        "name": model.name,
        "status": "missing",
        "bytes": model.bytes,
        "path": None,
        "sha256": None,
        "source": None,
        "network": model.network,
        "licence": model.licence,
        "commercial": allows_commercial_use(model.licence),
        "purpose": model.purpose or description,
    }
    if files.corrupt:
        record["status"] = "corrupt"
    if located:
        record |= {
            "status": "verified",
            "bytes": located.path.stat().st_size,
            "path": str(located.path),
            "sha256": located.sha256,
            "source": located.source,
        }
    if model.own:
        record |= {"own": True, "scale": model.scale, "author": model.author or None}
    elif not located:
        file = model.manual_download
        folder = str(store.folder)
        record["by_hand"] = file and {"file": file.file, "url": file.url, "folder": folder}
    return record


def _table(records: Records, *columns: str) -> str:
    rows = [columns]
    for record in records:
        cells = dict(record)
        cells["size"] = f"{record['bytes'] / 1e6:.1f} MB"
        cells["scale"] = f"{record.get('scale')}x"
        if record["commercial"] is False:
            cells["licence"] += " (not commercial)"
        rows.append(tuple(str(cells[column] or "-") for column in columns))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
