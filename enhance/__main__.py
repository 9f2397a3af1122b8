"""The command line: `run` enhances files and folders, `compare` shows the presets, `bench` measures this machine, `app`
serves the page, `weights` keeps the model files.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .config import terminal_language, version
from .errors import Cancelled, EnhanceError, SettingsError, StorageError
from .settings import PRESETS, RANGES, SIZES, WHOLE, Settings
from .texts import say

if TYPE_CHECKING:
    from .batch import Batch, Item, Running
    from .output.formats import Encoding
    from .picture import Shard

log = logging.getLogger("enhance")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_BAR = "{desc} {percentage:3.0f}%|{bar}|{postfix}"
_MORE = {
    "tile": ", default 192; bounds memory, changes no pixel",
    "reduce": ", default 1; how many times a soft photo is averaged down first, sizes still count from the input",
}
"""What the help says of a setting beside its range."""
_END_SECONDS = 8.0
"""How long tidying up may hold up the end."""


def program(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line as a process of its own, which ends in order by Ctrl-C and by SIGTERM."""
    for one in _SIGNALS:
        if signal.getsignal(one) != signal.SIG_IGN:
            signal.signal(one, _end)
    status = main(arguments)
    _close_unread()
    sys.exit(status)


def _end(number: int, _frame: object) -> None:
    """End as by Ctrl-C. Further signals do not disturb the tidying up, and nothing holds it up for long."""
    for one in _SIGNALS:
        signal.signal(one, signal.SIG_IGN)
    late = threading.Timer(_END_SECONDS, os._exit, [128 + number])
    late.daemon = True
    late.start()
    raise KeyboardInterrupt(number)


def _close_unread() -> None:
    """Let what nobody reads any more go nowhere, as after `| head -1`; the results are files."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; gives the exit status: 0 all done, 1 some failed, 2 usage, 130 Ctrl-C, 143 SIGTERM.

    The page, which is only ever stopped, ends with 0 by SIGTERM.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["weights"]:
        from weights.__main__ import main as keep_weights

        return keep_weights(arguments[1:])
    options = _parser().parse_args(arguments)
    try:
        with _errors_in_one_line():
            return options.command(options)
    except EnhanceError as error:
        _complain(error)
        return 2 if isinstance(error, SettingsError) else 1
    except KeyboardInterrupt as end:
        number = end.args[0] if end.args else signal.SIGINT
        if options.command is _app and number == signal.SIGTERM:
            return 0
        _complain(Cancelled("interrupted"))
        return 128 + number
    except BrokenPipeError:
        _close_unread()
        return 0


def _complain(error: EnhanceError, about: object = "") -> None:
    """One sentence on standard error, in the terminal's language."""
    print(f"enhance: {f'{about}: ' if about else ''}{error.sentence(terminal_language())}", file=sys.stderr)


@contextmanager
def _errors_in_one_line() -> Iterator[None]:
    """Errors that were not foreseen are named on standard error; where they happened is for a debugger."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.ERROR)
    handler.setFormatter(_OneLine("enhance: %(message)s"))
    logging.getLogger("enhance").addHandler(handler)
    try:
        yield
    except (EnhanceError, BrokenPipeError):
        raise
    except Exception as error:
        log.exception("The command failed")
        raise EnhanceError("unexpected") from error
    finally:
        logging.getLogger("enhance").removeHandler(handler)


class _OneLine(logging.Formatter):
    def formatException(self, ei: Any) -> str:  # noqa: N802 - the name is logging's
        return "enhance: " + " ".join("".join(traceback.format_exception_only(*ei[:2])).split())


def _parser() -> argparse.ArgumentParser:
    name = "enhance" if Path(sys.argv[0]).stem == "enhance" else "python -m enhance"
    parser = argparse.ArgumentParser(prog=name, description="Enlarge pictures, exactly.")
    parser.add_argument("--version", action="version", version=f"enhance {version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="enhance files and folders", description="Enhance files and folders.")
    run.set_defaults(command=_run)
    run.add_argument("input", nargs="+", type=Path, metavar="INPUT", help="picture files, or folders of them")
    run.add_argument(
        "-o",
        "--output",
        type=Path,
        help="a file for one input (what lies there is replaced), else a folder (default: processed/)",
    )
    run.add_argument(
        "--preset",
        default="gentle",
        help=f"one of {', '.join(PRESETS)}, or a model of your own (python -m weights list); default gentle",
    )
    run.add_argument("--no-tuning", action="store_true", help="the network's output, sliders bypassed")
    run.add_argument("--scale", type=float, help="times larger, 1 to what the network makes (default)")
    run.add_argument("--long-side", type=int, metavar="PX", help="of the result's longer side, in place of --scale")
    run.add_argument("--megapixels", type=float, metavar="MP", help="of the result, in place of --scale")
    for name, (low, high) in RANGES.items():
        kind = int if name in WHOLE else float
        run.add_argument(f"--{name}", type=kind, help=f"{low:g} to {high:g}{_MORE.get(name, '')}")
    run.add_argument("--format", help="png, jpeg, webp or avif (default: by the ending of -o, else png)")
    run.add_argument("--quality", type=int, default=92, help="1 to 100, of a JPEG, WebP or AVIF (default 92)")
    run.add_argument(
        "--metadata",
        default="keep",
        help="keep (default); no-location: without the place where a photo was taken, in EXIF (GPS and makers' notes), "
        "XMP, IPTC and texts; none: only colour profile and resolution",
    )
    _add_device(run)
    run.add_argument("--shard", default="1/1", metavar="I/N", help="the Ith of N parts, each for a machine of its own")
    run.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="let the workers of a Ray cluster make the files: host:port of its head, auto for this machine's own, "
        "or local for one of this machine alone; all machines see the folders at the same paths",
    )
    run.add_argument(
        "--ray-workers", type=int, metavar="N", help="how many at most (default: as many as there is room)"
    )
    run.add_argument(
        "--ray-cores",
        type=int,
        metavar="N",
        help="of each worker (default: 1 beside a graphics card, else at most 8)",
    )
    run.add_argument("--report", action="store_true", help="a PDF report beside every result")
    run.add_argument("--json", action="store_true", help="one object of facts a line on standard output")
    compare = commands.add_parser(
        "compare", help="a square by every preset", description="A square of a photo by every preset, on one sheet."
    )
    compare.set_defaults(command=_compare)
    compare.add_argument("photo", type=Path, metavar="PHOTO", help="a picture file")
    compare.add_argument("-o", "--output", type=Path, required=True, help="the sheet, a .png file; replaced if there")
    for name in ("x", "y"):
        compare.add_argument(f"--{name}", type=float, help="the square's centre in pixels, default the middle")
    compare.add_argument("--size", type=int, default=128, help="the square's side in pixels, default 128")
    _add_device(compare)
    compare.add_argument("--json", action="store_true", help="the facts as one object on standard output")
    bench = commands.add_parser("bench", help="measure this machine", description="Measure this machine.")
    bench.set_defaults(command=_bench)
    _add_device(bench)
    bench.add_argument("--json", action="store_true", help="the figures as JSON")
    app = commands.add_parser("app", help="serve the page", description="Serve the page at port 7860.")
    app.set_defaults(command=_app)
    app.add_argument("--share", action="store_true", help="also at a public address of gradio.live, for a week at most")
    commands.add_parser("weights", help="list, fetch, verify, add and remove model files; see `weights --help`")
    return parser


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--precision", default="auto", help="auto, fp32, bf16 or fp16")


def _run(options: argparse.Namespace) -> int:
    given = {name: getattr(options, name) for name in (*RANGES, *SIZES)}
    settings = Settings.from_preset(options.preset, tuning=False if options.no_tuning else None, **given)
    from .enhancer import Enhancer
    from .picture import Shard

    batch, encoding = _planned(options, Shard.called(options.shard))
    if not batch.listed and not batch.items:
        raise EnhanceError("no_pictures")
    enhancer = Enhancer(options.device, options.precision)
    if options.ray is None:
        enhancer.check()
    if options.output is None:
        enhancer.tasks.check()
        enhancer.tasks.clean()
    language = terminal_language() if options.report else None
    with _Reporter(batch, as_json=options.json) as reporter, _runner(options, reporter) as running:
        told = {"changed": reporter.look, "report": language, "encoding": encoding}
        ended = running(enhancer, settings, batch, **told).run()
        reporter.conclude(ended)
    enhancer.release()
    return 1 if ended.count("failed") else 0


@contextmanager
def _runner(options: argparse.Namespace, reporter: _Reporter) -> Iterator[Callable[..., Running]]:
    """What runs a batch: this process, or a cluster that it is connected to."""
    from .batch import Running

    if options.ray is None:
        yield Running
        return
    from .cluster import Spread, Staffing, reach

    wanted = Staffing(options.device, options.precision, options.ray_workers, options.ray_cores)
    with reach(options.ray) as ray:
        yield partial(Spread, ray=ray, wanted=wanted, told=reporter.warn)


def _planned(options: argparse.Namespace, shard: Shard) -> tuple[Batch, Encoding]:
    """What is to be done, where each result goes, and as what. Raises SettingsError where that is no usable place."""
    from .batch import Batch, Item, find_pictures
    from .files import sweep
    from .output.formats import Encoding

    inputs, output = options.input, options.output
    one_file = len(inputs) == 1 and not inputs[0].is_dir() and shard.count == 1
    if output is not None and one_file and not output.is_dir():
        encoding = Encoding.of_file(output, options.quality, options.metadata, options.format)
        sweep(output.parent)
        return Batch((Item(inputs[0], Path(inputs[0].name), output),)), encoding
    encoding = Encoding(options.format or "png", options.quality, options.metadata)
    if output is None:
        return find_pictures(inputs, shard=shard), encoding
    if output.exists() and not output.is_dir():
        raise SettingsError("folder_wanted", output=output)
    planned = find_pictures(inputs, output, shard, encoding.form.ending)
    for folder in {output / item.place for item in planned.items}:
        sweep(folder.parent)
    return planned, encoding


def _named(item: Item) -> dict[str, str]:
    return {"name": item.name, "path": str(item.source)}


def _tell(key: str, **values: object) -> None:
    """One sentence that is no complaint on standard error, in the terminal's language."""
    print(f"enhance: {say(terminal_language(), key, **values)}", file=sys.stderr)


class _Reporter:
    """Says what happens: a bar on standard error, a line for every file that is done or failed."""

    def __init__(self, batch: Batch, *, as_json: bool):
        from tqdm import tqdm

        self._json, self._out = as_json, sys.stdout
        self._said: set[int] = set()
        self._bar = tqdm(total=100, file=sys.stderr, leave=False, bar_format=_BAR)

    def __enter__(self) -> _Reporter:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def look(self, batch: Batch) -> None:
        try:
            self._show(batch)
        except BrokenPipeError:
            _close_unread()

    def _show(self, batch: Batch) -> None:
        for place, item in enumerate(batch.items):
            if item.state in ("done", "failed") and place not in self._said:
                self._said.add(place)
                self._say(item)
            if item.state == "running":
                self._bar.set_description_str(f"{item.name} ({place + 1} of {len(batch.items)})", refresh=False)
        left = "" if batch.seconds_left is None else f" {batch.seconds_left:.0f} s left"
        self._bar.set_postfix_str(left, refresh=False)
        self._bar.n = round(100 * batch.share, 1)
        self._bar.refresh()

    def warn(self, error: EnhanceError) -> None:
        """Say what hinders, while it goes on."""
        self._bar.clear()
        _complain(error)

    def conclude(self, batch: Batch) -> None:
        """Say what was not taken: it was hidden, no picture, or is being made by another process."""
        elsewhere = [item for item in batch.items if item.state == "elsewhere"]
        self._bar.clear()
        if self._json:
            facts = [{"status": "elsewhere", "input": _named(item)} for item in elsewhere]
            if batch.hidden or batch.others:
                facts.append({"status": "passed over", "hidden": batch.hidden, "others": batch.others})
            for one in facts:
                print(json.dumps(one, ensure_ascii=False), file=self._out, flush=True)
            return
        if elsewhere:
            _tell("made_elsewhere", count=len(elsewhere))
        if batch.hidden or batch.others:
            _tell("passed_over", hidden=batch.hidden, others=batch.others)

    def _say(self, item: Item) -> None:
        self._bar.clear()
        self._note(item)
        if item.info is None:
            assert item.error is not None
            _complain(item.error, item.source)
            if self._json:
                error = item.error.sentence(terminal_language())
                failed = {"status": "failed", "input": _named(item), "error": error}
                print(json.dumps(failed, ensure_ascii=False), file=self._out, flush=True)
        elif self._json:
            print(json.dumps(item.info, ensure_ascii=False), file=self._out, flush=True)
        else:
            if item.error is not None:
                _complain(item.error, item.source)
            output, seconds = item.info["output"], item.info["seconds"]["total"]
            done = "was there already" if item.info["cached"] else f"{seconds:.1f} s"
            print(f"{item.result}  {output['width']} x {output['height']}, {done}", file=self._out, flush=True)

    def _note(self, item: Item) -> None:
        """Say what the format could not hold."""
        from .output.formats import FORMATS

        output = item.info["output"] if item.info else {}
        for note in output.get("notes", ()):
            said = say(terminal_language(), f"note_{note}", format=FORMATS[output["format"]].name)
            print(f"enhance: {item.source}: {said}", file=sys.stderr)


def _compare(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from .enhancer import Enhancer
    from .files import sweep, try_place
    from .preview import Cell

    photo, output, language = options.photo, options.output, terminal_language()
    if output.suffix.lower() != ".png":
        raise SettingsError("sheet_png_only", name=output.name)
    if output.exists() and photo.exists() and output.samefile(photo):
        raise StorageError("own_input", output=output)
    sweep(output.parent)
    try_place(output)
    enhancer = Enhancer(options.device, options.precision)
    enhancer.check()
    with tqdm(total=100, file=sys.stderr, leave=False, bar_format=_BAR) as bar:

        def progress(done: int, total: int, left: float | None) -> None:
            bar.set_postfix_str("" if left is None else f" {left:.0f} s left", refresh=False)
            bar.n = round(100 * done / total, 1)
            bar.refresh()

        def arrived(cell: Cell) -> None:
            bar.clear()
            if cell.error is not None:
                _complain(cell.error, cell.settings.preset)
            elif not options.json:
                print(f"{cell.settings.preset}  {cell.in_words(language)}", flush=True)

        square = {"x": options.x, "y": options.y, "size": options.size}
        made = enhancer.compare(photo, **square, arrived=arrived, progress=progress)
    enhancer.release()
    info = made.save(output, language)
    print(json.dumps(info, ensure_ascii=False) if options.json else output, flush=True)
    return 1 if any(cell.error for cell in made.cells) else 0


def _bench(options: argparse.Namespace) -> int:
    from .bench import measure, table

    figures = measure(options.device, options.precision)
    print(json.dumps(figures, indent=1) if options.json else table(figures))
    return 0


def _app(options: argparse.Namespace) -> int:
    from .enhancer import Enhancer

    enhancer = Enhancer()
    enhancer.tasks.check()
    enhancer.tasks.clean()
    from .web import serve

    serve(enhancer, share=options.share)
    return 0


if __name__ == "__main__":
    program()
