"""The command line: `enhance run | analyse | compare | weights | app | mcp`.

Exit status: 0 if all files were processed, 1 if some failed, 2 for wrong usage, 130 after Ctrl-C, 143 after SIGTERM.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import shutil
import signal
import sys
import threading
import traceback
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .config import read_config, terminal_language, unknown_variables, version
from .errors import Cancelled, EnhanceError, SettingsError, expected_error, optional_packages
from .files import is_folder, storage_errors
from .i18n import describe_choice, format_duration, translate
from .settings import DEFAULT_PRESET, PAPERS, PRESETS, RANGES, SIZES, USUAL, WHOLE, Settings, print_sides

if TYPE_CHECKING:
    from typing import Self

    from tqdm import tqdm

    from .batch import Batch, Item
    from .batch_inputs import Shard
    from .enhancer import Enhancer
    from .info import Info
    from .output.formats import Encoding
    from .pipeline import Run

log = logging.getLogger("enhance")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PIPE = "-"
"""Standard input or standard output."""
_EXIT_SECONDS = 8.0
"""Time for cleaning up after a signal, before the process exits anyway."""
_WITHDRAWN = {"--pages": "pages_gone", "--print-fit": "print_fit_gone"}
"""Options of earlier versions, and the texts that state what to use instead."""


def program(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line as a process that cleans up after Ctrl-C and SIGTERM."""
    for one in _SIGNALS:
        if signal.getsignal(one) != signal.SIG_IGN:
            signal.signal(one, _interrupt)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # File names can have bytes that are no text. JSON has the same escapes.
        sys.stdout.reconfigure(errors="backslashreplace")
    status = main(arguments)
    _discard_unread_output()
    sys.exit(status)


def _interrupt(number: int, _frame: object) -> None:
    """Raise KeyboardInterrupt with the number of the signal, ignore further signals and limit the time to exit."""
    for one in _SIGNALS:
        signal.signal(one, signal.SIG_IGN)
    late = threading.Timer(_EXIT_SECONDS, os._exit, [128 + number])
    late.daemon = True
    late.start()
    raise KeyboardInterrupt(number)


def _discard_unread_output() -> None:
    """Redirect closed output streams to the null device, as after `| head -1`."""
    for stream in (sys.stdout, sys.stderr):
        if stream.closed:  # by the server of `enhance mcp`
            continue
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status. `app`, which has no other end, exits with 0 after SIGTERM."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["weights"]:
        from .models.cli import main as weights_main

        return weights_main(arguments[1:])
    options, handler = parse_arguments(arguments), logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.ERROR)
    handler.setFormatter(_OneLineFormatter("enhance: %(message)s"))
    log.addHandler(handler)
    try:
        if options.command != "app":  # The server logs them.
            for name in unknown_variables(os.environ):
                _print_message(translate(terminal_language(), "config_unknown", variable=name))
        return _COMMANDS[options.command](options)
    except KeyboardInterrupt as interrupt:
        number = interrupt.args[0] if interrupt.args else signal.SIGINT
        if options.command == "app" and number == signal.SIGTERM:
            return 0
        _print_error(Cancelled("interrupted"))
        return 128 + number
    except BrokenPipeError:
        _discard_unread_output()
        return 0
    except Exception as error:
        _print_error(expected_error(error, "The command failed"))
        return 2 if isinstance(error, SettingsError) else 1
    finally:
        log.removeHandler(handler)


def parse_arguments(arguments: Sequence[str]) -> Namespace:
    """Return the parsed arguments, with the name of the command as `command`. Exits with status 2 for wrong usage."""
    name = "enhance" if Path(sys.argv[0]).stem == "enhance" else "python -m enhance"
    parser = ArgumentParser(prog=name, description="Upscale photos with Real-ESRGAN.")
    parser.add_argument("--version", action="version", version=f"enhance {version()}")
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")

    def command(name: str, text: str) -> ArgumentParser:
        return commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")

    _add_run(command("run", "upscale files and folders"))
    _add_analyse(command("analyse", "print the properties of images and the preset that Auto selects"))
    _add_compare(command("compare", "save an image that shows an area of a photo with every preset"))
    app = command("app", "serve the page on port 7860")
    app.add_argument("--share", action="store_true", help="also create a public link at gradio.live for up to one week")
    command("mcp", "serve tools for agents (MCP) over standard input and output")
    command("weights", "list, find, fetch, verify, add and remove models; see `enhance weights --help`")
    if arguments[:1] == ["bench"]:
        parser.error("The command bench was removed. Use `make bench` in a checkout of the project.")
    for given in arguments:
        option = given.partition("=")[0]
        if option in _WITHDRAWN:
            parser.error(translate(terminal_language(), _WITHDRAWN[option], name=option))
    options = parser.parse_args(arguments)
    if options.command == "run" and not options.input and options.files is None:
        commands.choices["run"].error("the following arguments are required: INPUT or --files")
    return options


def _add_run(run: ArgumentParser) -> None:
    add = run.add_argument
    inputs = "image files or folders, fsspec addresses such as s3://bucket/folder, or - for standard input"
    add("input", nargs="*", type=_path_or_address, metavar="INPUT", help=inputs)
    add(
        "-o",
        "--output",
        help="output file for a single input, otherwise output folder; each can be an address, and a path that ends in "
        "/ is a folder (default: photo-4x.png next to each photo). Only earlier results are replaced, and nothing "
        "without -o. - writes a single result to standard output",
    )
    presets = f"{', '.join(PRESETS)} or a user model (see `enhance weights list`); default {DEFAULT_PRESET}"
    add("--preset", default=DEFAULT_PRESET, help=presets)
    add("--no-tuning", action="store_true", help="write the output of the network without adjustments")
    _add_size(run)
    for name, (low, high) in RANGES.items():
        usual = f" Default: {USUAL[name]:g}." if name in WHOLE else ""
        _add_number(run, name, translate("en", f"takes_{name}", low=f"{low:g}", high=f"{high:g}") + usual)
    add(
        "--format", help="png, jpeg, webp, avif, tiff or jxl (default: the extension of the output file, otherwise png)"
    )
    add("--quality", type=int, default=92, help="1 to 100, for JPEG, WebP, AVIF and JPEG XL (default 92)")
    add(
        "--metadata",
        default="keep",
        help="keep: all metadata, including a GPS location (default). no-location: no GPS location in EXIF, XMP, IPTC "
        "and text. none: only the colour profile, the resolution and the label",
    )
    add(
        "--no-label",
        dest="label",
        action="store_false",
        help="do not label the result as machine-enhanced (IPTC digital source type in XMP)",
    )
    add(
        "--background",
        default="white",
        help="white (default) or black: the colour of transparent areas in a JPEG, which has no transparency",
    )
    _add_device(run)
    add("--files", type=Path, metavar="LIST", help="text file with a path or address in each line, or .jsonl file")
    failures = "append each failed file with its reason to this .jsonl file, which --files can read"
    add("--failures", type=Path, metavar="FILE", help=failures)
    add("--shard", default="1/1", metavar="I/N", help="process part I of N of the files, one part on each machine")
    add(
        "--ray",
        metavar="ADDRESS",
        help="process the files on a Ray cluster: host:port of its head node, auto for the cluster of this machine, or "
        "local to start one on this machine. All machines need the folders at the same paths",
    )
    add("--report", action="store_true", help="write a PDF report next to each result")
    add("--json", action="store_true", help="print one JSON object per file")
    add(
        "--progress",
        choices=("bar", "json", "none"),
        default="bar",
        help="progress on standard error: a bar if it is a terminal (default), or one JSON object per line for other "
        "programs, with file, share (0 to 1) and seconds_left",
    )


def _path_or_address(text: str) -> Path | str:
    return text if "://" in text else Path(text)


def _add_number(parser: ArgumentParser, name: str, text: str, unit: str | None = None) -> None:
    kind = int if name in WHOLE else float
    parser.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=unit, help=text)


def _add_size(parser: ArgumentParser) -> None:
    _add_number(parser, "scale", "enlargement factor, 1 to 16 (default: the scale of the network, usually 4)")
    _add_number(parser, "long_side", "long side of the result in pixels, instead of --scale", "PX")
    _add_number(parser, "megapixels", "size of the result in megapixels, instead of --scale", "MP")
    parser.add_argument(
        "--print",
        metavar="SIZE",
        help="print size instead of --scale: WIDTHxHEIGHT in cm, such as 29.7x42cm, WIDTHx or xHEIGHT for one side, "
        f"or {', '.join(PAPERS)}. The whole photo fits on the paper, in either orientation",
    )
    _add_number(parser, "dpi", "resolution of the result (default: 300 for --print, or the photo's)", "DPI")


def _size_of(options: Namespace) -> dict[str, Any]:
    width, height = print_sides(options.print) if options.print else (None, None)
    given = {name: getattr(options, name) for name in (*SIZES, "dpi")}
    return given | {"print_width": width, "print_height": height}


def _add_analyse(analyse: ArgumentParser) -> None:
    analyse.add_argument("photo", nargs="+", type=Path, metavar="PHOTO", help="image files")
    _add_size(analyse)
    _add_device(analyse)
    analyse.add_argument("--json", action="store_true", help="print one JSON object per file")


def _add_compare(compare: ArgumentParser) -> None:
    add = compare.add_argument
    add("photo", type=Path, metavar="PHOTO", help="an image file")
    add("-o", "--output", type=Path, required=True, help="output file, a .png; replaces an earlier result")
    for name in ("x", "y"):
        add(f"--{name}", type=float, help=f"{name} of the centre of the area in pixels (default: the middle)")
    add("--size", type=int, default=128, help="side of the area in pixels (default 128)")
    _add_device(compare)
    add("--json", action="store_true", help="print the figures as one JSON object")


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default auto)")
    parser.add_argument("--precision", default="auto", help="auto, fp32, bf16 or fp16 (default auto)")


def _print_message(text: str, subject: object = "") -> None:
    print(f"enhance: {f'{subject}: ' if subject else ''}{text}", file=sys.stderr)


def _print_error(error: EnhanceError, subject: object = "") -> None:
    """Print an error to standard error in the language of the terminal."""
    _print_message(error.message(terminal_language()), subject)


class _OneLineFormatter(logging.Formatter):
    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging defines the name
        return "enhance: " + " ".join("".join(traceback.format_exception_only(*ei[:2])).split())


def _run(options: Namespace) -> int:
    from .batch import BatchRun
    from .batch_inputs import Shard
    from .cluster import ClusterRun, connect
    from .enhancer import Enhancer
    from .processes import temporary_folder

    if options.report:
        with optional_packages("report"):
            from . import report  # noqa: F401 - Without its package, no file is processed.
    given = {name: getattr(options, name) for name in RANGES} | _size_of(options)
    settings = Settings(options.preset, tuning=False if options.no_tuning else None, **given)  # type: ignore[arg-type]
    shard = Shard.parse(options.shard)
    if options.failures and options.failures.suffix != ".jsonl":  # Lines are appended, which would damage a photo.
        raise SettingsError("failures_jsonl_only", file=options.failures)
    is_stdin = options.input == [Path(_PIPE)]
    if options.output is None and (is_stdin or options.ray):
        raise SettingsError("output_required")
    with temporary_folder() as temporary, Enhancer(options.device, options.precision) as enhancer:
        piped = _replace_pipes(options, Path(temporary))
        batch, encoding = _plan(options, shard)
        if is_stdin:
            named = {key: replace(item, entry={"input": _PIPE}) for key, item in batch.files.items()}
            batch = replace(batch, files=named)
        if options.ray is None:  # The workers of a cluster check their own devices.
            enhancer.check()
        reporter = _Reporter(batch, options, is_piped=piped is not None)
        with reporter, connect(options.ray) if options.ray else nullcontext() as ray:
            given: dict[str, Any] = {"encoding": encoding, "on_change": reporter.report}
            given["report"] = terminal_language() if options.report else None
            if ray:
                given |= {"device": options.device, "precision": options.precision}
                run = ClusterRun(enhancer, settings, batch, ray=ray, **given)
            else:
                on_compute = partial(reporter.suggest_faster, enhancer)
                run = BatchRun(enhancer, settings, batch, on_compute=on_compute, **given)
            ended = run.run()
            reporter.conclude(ended)
        if piped and ended.count("done"):
            with piped.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
    return 1 if ended.count("failed") else 0


def _replace_pipes(options: Namespace, folder: Path) -> Path | None:
    """Replace standard input and output by files in `folder`. Return the file of the output. Raises SettingsError."""
    inputs, output = options.input, options.output
    if _PIPE not in (*map(str, inputs), output):
        return None
    is_alone = len(inputs) == 1 and options.shard == "1/1" and not (options.ray or options.report or options.files)
    if not is_alone or isinstance(inputs[0], str) or is_folder(inputs[0]) or "://" in output:
        raise SettingsError("pipe_single")
    if inputs[0] == Path(_PIPE):
        options.input = [folder / "image"]
        with options.input[0].open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
    if output != _PIPE:
        return None
    result = folder / f"result{_encoding(options).file_format.ending}"
    options.output = str(result)
    return result


def _encoding(options: Namespace, file: Path | None = None) -> Encoding:
    """Return the output format, for a file by its extension. Raises SettingsError."""
    from .output.formats import Encoding

    chosen = {name: getattr(options, name) for name in ("quality", "metadata", "label", "background")}
    if file is not None:
        return Encoding.of_file(file, format=options.format, **chosen)
    return Encoding(options.format or "png", **chosen)


def _plan(options: Namespace, shard: Shard) -> tuple[Batch, Encoding]:
    """Return the files to process and the output format. Raises SettingsError if the output cannot be used."""
    from .batch import plan
    from .batch_inputs import find_images, read_list
    from .processes import remove_leftovers
    from .remote import RemoteFile, check_bucket

    inputs, output = options.input, options.output and _path_or_address(options.output)
    listed = read_list(options.files) if options.files else []
    is_folder_wanted = options.files or shard.count > 1 or (options.output or "").endswith(("/", os.sep))
    item = None if is_folder_wanted else _only_file(inputs, output)
    if item is not None and isinstance(output, Path):
        encoding = _encoding(options, output)
        remove_leftovers(output.parent)
        return plan([replace(item, output=output)]), encoding
    if item is not None and isinstance(output, str):
        check_bucket(output)
        return plan([item], RemoteFile(output)), _encoding(options, Path(output))
    encoding = _encoding(options)
    if isinstance(output, Path) and os.path.lexists(output) and not is_folder(output):
        raise SettingsError("folder_required", output=output)
    batch = find_images(inputs, output, shard, encoding.file_format.ending, listed)
    if output is None and any(item.address for item in batch.items):
        raise SettingsError("output_required")
    if not isinstance(output, str):
        for folder in {Path(output or "", item.target).parent for item in batch.items}:
            remove_leftovers(folder)
    return batch, encoding


def _only_file(inputs: Sequence[Path | str], output: Path | str | None) -> Item | None:
    """Return the only input if it is a file and its output is one, too: an address with the extension of an image."""
    from .batch import Item
    from .batch_inputs import find_images
    from .output.formats import ENDINGS

    if len(inputs) != 1 or output is None or (isinstance(output, Path) and is_folder(output)):
        return None
    source = inputs[0]
    if isinstance(source, Path) and isinstance(output, Path):
        return None if is_folder(source) else Item(source, Path(source.name))
    if not str(output).lower().endswith(tuple(ENDINGS)):
        return None
    items = find_images(inputs).items
    return items[0] if len(items) == 1 and items[0].place == str(source) else None


class _StandardError:
    """Standard error for a progress bar. tqdm would keep its lock after an error of a closed pipe."""

    def write(self, text: str) -> None:
        with suppress(BrokenPipeError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(BrokenPipeError):
            sys.stderr.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


class _Progress:
    """Progress on standard error: a bar on a terminal, JSON lines, or nothing."""

    def __init__(self, kind: str = "bar"):
        from tqdm import tqdm

        form = "{desc} {percentage:3.0f}%|{bar}|{postfix}"
        self._json, self._last = kind == "json", ""
        self._bar: tqdm[NoReturn] = tqdm(
            total=100, file=_StandardError(), leave=False, bar_format=form, disable=None if kind == "bar" else True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def clear(self) -> None:
        """Clear the line of the bar, before other text is printed."""
        self._bar.clear()

    def update(self, share: float, seconds_left: float | None, file: str = "", position: str = "") -> None:
        """Show the share that is done, 0 to 1, the seconds left, and the current file with its position."""
        if self._json:
            left = None if seconds_left is None else round(seconds_left, 1)
            line = json.dumps({"file": file, "share": round(share, 3), "seconds_left": left}, ensure_ascii=False)
            if line != self._last:
                print(line, file=_StandardError(), flush=True)
            self._last = line
            return
        if file:
            self._bar.set_description_str(f"{file} ({position})" if position else file, refresh=False)
        self._bar.set_postfix_str("" if seconds_left is None else f" {seconds_left:.0f} s left", refresh=False)
        self._bar.n = round(100 * share, 1)
        self._bar.refresh()


class _Reporter(_Progress):
    """Prints the progress of a batch: a bar on standard error and a line for each finished or failed file."""

    def __init__(self, batch: Batch, options: Namespace, *, is_piped: bool = False):
        super().__init__(options.progress)
        self._as_json, self._failures, self._is_piped = options.json, options.failures, is_piped
        self._out = sys.stderr if is_piped else sys.stdout
        if self._failures:
            with storage_errors(self._failures):
                self._failures.open("a").close()
        self._positions = {key: position for position, key in enumerate(batch.files, 1)}
        self._current = "", ""

    def report(self, batch: Batch) -> None:
        """Print what has changed, as `BatchRun` reports it."""
        try:
            self._report(batch)
        except BrokenPipeError:
            _discard_unread_output()

    def _report(self, batch: Batch) -> None:
        item = batch.latest
        if item is not None and item.state in ("done", "failed"):
            self._print_item(item)
        elif item is not None and item.state == "running":
            name = _PIPE if item.place == _PIPE else item.name
            self._current = name, f"{self._positions[item.key]} of {len(batch.files)}"
        self.update(batch.share, batch.seconds_left, *self._current)

    def suggest_faster(self, enhancer: Enhancer, item: Item, run: Run) -> None:
        """Print a faster preset for a file whose preset Auto selected, if that is slow."""
        settings, analysis = run.request.settings, run.auto and enhancer.analyse(run.request.image)
        faster = enhancer.suggest_faster(analysis, settings) if analysis else None
        if faster is not None:
            self.clear()
            seconds = faster.selected_seconds
            text = _faster_text(terminal_language(), settings.preset, seconds, faster.preset, faster.seconds)
            _print_message(text, item.place)

    def conclude(self, batch: Batch) -> None:
        """Print how many hidden and other files were skipped."""
        skipped = {"hidden": batch.hidden, "others": batch.others}
        self.clear()
        if any(skipped.values()) and self._as_json:
            self._print({"status": "passed over", **skipped})
        elif any(skipped.values()):
            _print_message(translate(terminal_language(), "files_skipped", **skipped))

    def _print_item(self, item: Item) -> None:
        from .output.formats import FORMATS

        language, error, info = terminal_language(), item.error, item.info
        if item.state == "failed" and error and self._failures:
            entry = {**(item.entry or {"input": item.place}), "reason": error.message(language)}
            line = f"{json.dumps(entry, ensure_ascii=False)}\n".encode("utf-8", "backslashreplace")
            with storage_errors(self._failures), self._failures.open("ab") as file:
                file.write(line)
        self.clear()
        output: Any = info["output"] if info else {}
        for note in output.get("notes", ()):
            text = translate(language, f"note_{note}", format=FORMATS[output.get("format", "png")].name)
            _print_message(text, item.place)
        if error is not None:
            _print_error(error, item.place)
        if self._as_json:
            message = error and error.message(language)
            facts: Any = info or {"status": "failed", "input": {"name": item.name}, "error": message}
            self._print({**facts, "input": {**facts["input"], "path": item.place}})
        elif info and not self._is_piped:
            self._print(_line_of(info))

    def _print(self, line: object) -> None:
        text = line if isinstance(line, str) else json.dumps(line, ensure_ascii=False)
        print(text, file=self._out, flush=True)


def _line_of(info: Info) -> str:
    output, auto = info["output"], info["auto"]
    time = "already done" if info["cached"] else f"{info['seconds']['total']:.1f} s"
    why = f", {auto['preset']} ({translate('en', 'auto_' + auto['reason']).lower()})" if auto else ""
    return f"{output['path']}  {output['width']} x {output['height']} px, {time}{why}"


def _analyse(options: Namespace) -> int:
    from .enhancer import Enhancer

    settings = Settings(**_size_of(options))
    has_failed = False
    with Enhancer(options.device, options.precision) as enhancer:
        for path in options.photo:
            try:
                facts = enhancer.recommend(enhancer.read(path), settings)
            except EnhanceError as error:
                has_failed = True
                _print_error(error, path)
                continue
            if options.json:
                facts = {"input": {"name": path.name, "path": str(path)}, **facts}
                print(json.dumps(facts, ensure_ascii=False), flush=True)
                continue
            auto, seconds, faster = facts["auto"], facts["estimated_seconds"], facts["faster"]
            print(f"{path}\n{_analysis_table(auto['analysis'])}", flush=True)
            reduce = facts["settings"]["reduce"]
            flags = f"--preset {auto['preset']}" + (f" --reduce {reduce}" if reduce > 1 else "")
            print(f"  {describe_choice('en', auto, seconds, flags)}", flush=True)
            if faster:
                text = _faster_text("en", auto["preset"], seconds, faster["preset"], faster["estimated_seconds"])
                print(f"  {text}", flush=True)
    return 1 if has_failed else 0


def _faster_text(language: str, preset: str, seconds: float, faster: str, faster_seconds: float) -> str:
    return translate(
        language,
        "faster_preset",
        preset=translate(language, f"preset_{preset}"),
        time=format_duration(language, seconds),
        flags=f"--preset {faster}",
        faster_time=format_duration(language, faster_seconds),
    )


def _analysis_table(analysis: Mapping[str, Any]) -> str:
    known = {name: value for name, value in analysis.items() if value is not None and name not in ("width", "height")}
    rows = {"size": f"{analysis['width']} x {analysis['height']} px", **known}
    return "\n".join(f"  {name.replace('_', ' '):<14}{value}" for name, value in rows.items())


def _compare(options: Namespace) -> int:
    from .comparison import Cell
    from .enhancer import Enhancer
    from .files import check_writable
    from .output.provenance import check_replaceable
    from .processes import remove_leftovers

    photo, output, language = options.photo, options.output, terminal_language()
    if output.suffix.lower() != ".png":
        raise SettingsError("sheet_png_only", name=output.name)
    remove_leftovers(output.parent)
    check_writable(output, photo)
    check_replaceable(output)
    with Enhancer(options.device, options.precision) as enhancer, _Progress() as bar:
        enhancer.check()

        def progress(done: int, total: int, left: float | None) -> None:
            bar.update(done / total, left)

        def on_cell(cell: Cell) -> None:
            bar.clear()
            if cell.error is not None:
                _print_error(cell.error, cell.settings.preset)
            elif not options.json:
                print(f"{cell.settings.preset}  {cell.describe(language)}", flush=True)

        area = {"x": options.x, "y": options.y, "size": options.size}
        comparison = enhancer.compare(photo, **area, on_cell=on_cell, progress=progress)
    info = comparison.save(output, language)
    print(json.dumps(info, ensure_ascii=False) if options.json else output, flush=True)
    return 1 if any(cell.error for cell in comparison.cells) else 0


def _mcp(options: Namespace) -> int:
    from .web import serve_agents

    serve_agents(_server_enhancer())
    return 0


def _app(options: Namespace) -> int:
    enhancer = _server_enhancer()
    enhancer.tasks.check()
    from .web import serve

    serve(enhancer, share=options.share)
    return 0


def _server_enhancer() -> Enhancer:
    """Return an enhancer with a data folder."""
    from .enhancer import Enhancer

    config = read_config()
    return Enhancer(data=config.server_data, config=config)


_COMMANDS = {"run": _run, "analyse": _analyse, "compare": _compare, "mcp": _mcp, "app": _app}
