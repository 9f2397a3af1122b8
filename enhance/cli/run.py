"""`enhance run`: upscale files and folders."""

from __future__ import annotations

import os
import shutil
import sys
from argparse import Namespace
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import terminal_language
from ..errors import SettingsError, optional_packages
from ..files import is_folder
from ..processes import remove_leftovers, temporary_folder
from ..settings import RANGES, Settings, as_settings
from .arguments import path_or_address, size_of
from .reporter import PIPE, Reporter

if TYPE_CHECKING:
    from ..enhancer import Enhancer
    from ..formats.encoding import Encoding
    from ..jobs.batch import Batch
    from ..jobs.inputs import Shard


def run(options: Namespace) -> int:
    """Run the command and return its exit status."""
    from ..enhancer import Enhancer
    from ..jobs.inputs import Shard

    if options.report:
        with optional_packages("report"):
            from ..report import document  # noqa: F401 - Without its package, no file is processed.
    settings = _settings_of(options)
    shard = Shard.parse(options.shard)
    if options.failures and options.failures.suffix != ".jsonl":
        # Lines are appended, which would damage a photo.
        raise SettingsError("failures_jsonl_only", file=options.failures)
    is_stdin = options.input == [Path(PIPE)]
    if options.output is None and (is_stdin or options.ray):
        raise SettingsError("output_required")
    with temporary_folder() as folder, Enhancer(options.device, options.precision) as enhancer:
        piped_result = _replace_pipes(options, Path(folder))
        batch, encoding = _plan(options, shard)
        if is_stdin:
            batch = _named_by_pipe(batch)
        if options.ray is None:  # The workers of a cluster check their own devices.
            enhancer.check()
        with Reporter(options, is_piped=piped_result is not None) as reporter:
            ended = _process(options, enhancer, settings, batch, encoding, reporter)
            reporter.conclude(ended)
        if piped_result and ended.count("done"):
            with piped_result.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
    if ended.count("failed"):
        return 1
    return 0


def _settings_of(options: Namespace) -> Settings:
    sliders = {name: getattr(options, name) for name in RANGES}
    settings = Settings(options.preset, tuning=options.tuning, **sliders, **size_of(options))
    return as_settings(settings)


def _named_by_pipe(batch: Batch) -> Batch:
    """Return the batch of standard input, whose temporary file is not named in messages."""
    files = {key: replace(file, entry={"input": PIPE}) for key, file in batch.by_key.items()}
    return replace(batch, by_key=files)


def _process(
    options: Namespace,
    enhancer: Enhancer,
    settings: Settings,
    batch: Batch,
    encoding: Encoding,
    reporter: Reporter,
) -> Batch:
    """Process the files on this machine or on a cluster, and return the batch at its end."""
    from ..jobs.batch import RunningBatch
    from ..jobs.cluster import ClusterBatch, connect

    given = {
        "encoding": encoding,
        "on_change": reporter.report,
        "report": terminal_language() if options.report else None,
    }
    if options.ray:
        devices = {"device": options.device, "precision": options.precision}
        with connect(options.ray) as ray:
            return ClusterBatch(enhancer, settings, batch, ray=ray, **given, **devices).run()
    on_compute = partial(reporter.suggest_faster, enhancer)
    return RunningBatch(enhancer, settings, batch, on_compute=on_compute, **given).run()


def _replace_pipes(options: Namespace, folder: Path) -> Path | None:
    """Replace standard input and output by files in `folder`, and return the file of the output.

    Raises SettingsError for anything but one image.
    """
    inputs = options.input
    output = options.output
    if PIPE not in (*map(str, inputs), output):
        return None
    has_more = options.shard != "1/1" or options.ray or options.report or options.files
    has_address = any("://" in str(one) for one in (*inputs, output))
    if len(inputs) != 1 or has_more or has_address or is_folder(inputs[0]):
        raise SettingsError("pipe_single")
    if inputs[0] == Path(PIPE):
        options.input = [folder / "image"]
        with options.input[0].open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
    if output != PIPE:
        return None
    result = folder / f"result{_encoding(options).file_format.ending}"
    options.output = str(result)
    return result


def _encoding(options: Namespace, file: Path | None = None) -> Encoding:
    """Return the output format, for a file by its extension. Raises SettingsError."""
    from ..formats.encoding import Encoding

    names = ("quality", "metadata", "label", "background")
    chosen = {name: getattr(options, name) for name in names}
    if file is not None:
        return Encoding.of_file(file, format=options.format, **chosen)
    return Encoding(options.format or "png", **chosen)


def _plan(options: Namespace, shard: Shard) -> tuple[Batch, Encoding]:
    """Return the files to process and the output format.

    Raises SettingsError if the output cannot be used.
    """
    from ..jobs.batch import plan
    from ..jobs.inputs import find_images
    from ..store.remote import RemoteFile, check_bucket

    output = None
    if options.output:
        output = path_or_address(options.output)
    if output is None or not _is_file(options, output, shard):
        return _plan_folder(options, output, shard)
    encoding = _encoding(options, Path(output))
    batch = find_images(options.input)
    if len(batch.by_key) != 1:
        raise SettingsError("folder_required", output=output)
    if isinstance(output, Path):
        remove_leftovers(output.parent)
        return plan([replace(file, output=output) for file in batch.files]), encoding
    check_bucket(output)
    return plan(batch.files, RemoteFile(output)), encoding


def _plan_folder(
    options: Namespace, output: Path | str | None, shard: Shard
) -> tuple[Batch, Encoding]:
    """Return the files whose results go into a folder, or beside their photos if `output` is
    None."""
    from ..jobs.inputs import find_images, read_list

    encoding = _encoding(options)
    if isinstance(output, Path) and os.path.lexists(output) and not is_folder(output):
        raise SettingsError("folder_required", output=output)
    listed = read_list(options.files) if options.files else []
    batch = find_images(options.input, output, shard, encoding.file_format.ending, listed)
    if output is None and any(file.address for file in batch.files):
        raise SettingsError("output_required")
    if not isinstance(output, str):
        for folder in {Path(output or "", file.target).parent for file in batch.files}:
            remove_leftovers(folder)
    return batch, encoding


def _is_file(options: Namespace, output: Path | str, shard: Shard) -> bool:
    """Return whether the output is a file, not a folder.

    If the input or the output has an address, it is a file if it has the extension of an image.
    """
    from ..formats.encoding import ENDINGS

    if len(options.input) != 1 or options.files or shard.count > 1:
        return False
    if options.output.endswith(("/", os.sep)) or is_folder(Path(output)):
        return False
    source = options.input[0]
    if isinstance(source, Path) and isinstance(output, Path):
        return not is_folder(source)
    return Path(output).suffix.lower() in ENDINGS
