"""The command line: `run` enhances files and folders, `compare` shows the presets, `bench` measures this machine, `app`
serves the page, `weights` keeps the model files.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .config import parse_arguments, terminal_language
from .errors import Cancelled, EnhanceError, SettingsError
from .i18n import translate
from .settings import RANGES, SIZES, Settings

if TYPE_CHECKING:
    from argparse import Namespace

    from tqdm import tqdm

    from .batch import Batch, Item, Running
    from .images import Shard
    from .output.formats import Encoding

log = logging.getLogger("enhance")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
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
        from enhance.models.cli import main as keep_weights

        return keep_weights(arguments[1:])
    options = parse_arguments(arguments)
    try:
        with _errors_in_one_line():
            return _COMMANDS[options.command](options)
    except EnhanceError as error:
        _complain(error)
        return 2 if isinstance(error, SettingsError) else 1
    except KeyboardInterrupt as end:
        number = end.args[0] if end.args else signal.SIGINT
        if options.command == "app" and number == signal.SIGTERM:
            return 0
        _complain(Cancelled("interrupted"))
        return 128 + number
    except BrokenPipeError:
        _close_unread()
        return 0


def _tell(sentence: str, about: object = "") -> None:
    print(f"enhance: {f'{about}: ' if about else ''}{sentence}", file=sys.stderr)


def _complain(error: EnhanceError, about: object = "") -> None:
    """One sentence on standard error, in the terminal's language."""
    _tell(error.sentence(terminal_language()), about)


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


def _run(options: Namespace) -> int:
    given = {name: getattr(options, name) for name in (*RANGES, *SIZES, "dpi")}
    settings = Settings.from_preset(options.preset, tuning=False if options.no_tuning else None, **given)
    from .enhancer import Enhancer
    from .images import Shard

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
def _runner(options: Namespace, reporter: _Reporter) -> Iterator[Callable[..., Running]]:
    """What runs a batch: this process, or a cluster that it is connected to."""
    from .batch import Running

    if options.ray is None:
        for name in ("ray_workers", "ray_cores"):
            if getattr(options, name) is not None:
                raise SettingsError("cluster_needed", name=f"--{name.replace('_', '-')}")
        yield Running
        return
    from .cluster import ClusterBatch, connect

    workers = {"device": options.device, "precision": options.precision}
    workers |= {"workers": options.ray_workers, "cores": options.ray_cores}
    with connect(options.ray) as ray:
        yield partial(ClusterBatch, ray=ray, warn=reporter.warn, **workers)


def _planned(options: Namespace, shard: Shard) -> tuple[Batch, Encoding]:
    """What is to be done, where each result goes, and as what. Raises SettingsError where that is no usable place."""
    from .batch import Item, find_images, plan
    from .files import sweep
    from .output.formats import Encoding

    inputs, output = options.input, options.output
    one_file = len(inputs) == 1 and not inputs[0].is_dir() and shard.count == 1
    if output is not None and one_file and not output.is_dir():
        encoding = Encoding.of_file(output, options.quality, options.metadata, options.format)
        sweep(output.parent)
        return plan([Item(inputs[0], Path(inputs[0].name), output)]), encoding
    encoding = Encoding(options.format or "png", options.quality, options.metadata)
    if output is None:
        return find_images(inputs, shard=shard), encoding
    if output.exists() and not output.is_dir():
        raise SettingsError("folder_wanted", output=output)
    planned = find_images(inputs, output, shard, encoding.form.ending)
    for folder in {output / item.place for item in planned.items}:
        sweep(folder.parent)
    return planned, encoding


def _named(item: Item) -> dict[str, str]:
    return {"name": item.name, "path": str(item.source)}


class _StandardError:
    """Standard error, where nobody need read on: a bar that fails to show itself keeps its lock, and all would wait."""

    def write(self, text: str) -> None:
        with suppress(BrokenPipeError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(BrokenPipeError):
            sys.stderr.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


def _empty_bar() -> tqdm[NoReturn]:
    from tqdm import tqdm

    return tqdm(total=100, file=_StandardError(), leave=False, bar_format="{desc} {percentage:3.0f}%|{bar}|{postfix}")


def _move(bar: tqdm[NoReturn], share: float, left: float | None) -> None:
    """Show how much is done, 0 to 1, and how many seconds are left."""
    bar.set_postfix_str("" if left is None else f" {left:.0f} s left", refresh=False)
    bar.n = round(100 * share, 1)
    bar.refresh()


class _Reporter:
    """Says what happens: a bar on standard error, a line for every file that is done or failed."""

    def __init__(self, batch: Batch, *, as_json: bool):
        self._json, self._out = as_json, sys.stdout
        self._places = {key: place for place, key in enumerate(batch.files, 1)}
        self._ended = [item for item in batch.items if item.state in ("done", "failed")]  # before it began
        self._bar = _empty_bar()

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
        ended, self._ended = self._ended, []
        for item in ended:
            self._say(item)
        item = batch.latest
        if item is not None and item.state in ("done", "failed"):
            self._say(item)
        elif item is not None and item.state == "running":
            place, count = self._places[item.key], len(batch.files)
            self._bar.set_description_str(f"{item.name} ({place} of {count})", refresh=False)
        _move(self._bar, batch.share, batch.seconds_left)

    def warn(self, error: EnhanceError) -> None:
        """Say what hinders, while it goes on."""
        self._bar.clear()
        _complain(error)

    def conclude(self, batch: Batch) -> None:
        """Say what was not taken: it was hidden, no picture, or is being made by another process."""
        elsewhere = [item for item in batch.items if item.state == "elsewhere"]
        passed_over = {"hidden": batch.hidden, "others": batch.others}
        self._bar.clear()
        if self._json:
            for item in elsewhere:
                self._put({"status": "elsewhere", "input": _named(item)})
            if any(passed_over.values()):
                self._put({"status": "passed over", **passed_over})
            return
        if elsewhere:
            _tell(translate(terminal_language(), "made_elsewhere", count=len(elsewhere)))
        if any(passed_over.values()):
            _tell(translate(terminal_language(), "passed_over", **passed_over))

    def _say(self, item: Item) -> None:
        from .output.formats import FORMATS

        self._bar.clear()
        language, output = terminal_language(), item.info["output"] if item.info else {}
        for note in output.get("notes", ()):  # of what the result does not contain
            _tell(translate(language, f"note_{note}", format=FORMATS[output.get("format", "png")].name), item.source)
        if item.error is not None and not (item.info and self._json):
            _complain(item.error, item.source)
        if self._json:
            error = item.error and item.error.sentence(language)
            self._put(item.info or {"status": "failed", "input": _named(item), "error": error})
        elif item.info:
            done = "was there already" if item.info["cached"] else f"{item.info['seconds']['total']:.1f} s"
            print(f"{item.result}  {output['width']} x {output['height']}, {done}", file=self._out, flush=True)

    def _put(self, facts: dict[str, Any]) -> None:
        print(json.dumps(facts, ensure_ascii=False), file=self._out, flush=True)


def _compare(options: Namespace) -> int:
    from .enhancer import Enhancer
    from .files import sweep, try_place
    from .output.provenance import check_replaceable
    from .preview import Cell

    photo, output, language = options.photo, options.output, terminal_language()
    if output.suffix.lower() != ".png":
        raise SettingsError("sheet_png_only", name=output.name)
    sweep(output.parent)
    try_place(output, photo)
    check_replaceable(output)
    enhancer = Enhancer(options.device, options.precision)
    enhancer.check()
    with _empty_bar() as bar:

        def progress(done: int, total: int, left: float | None) -> None:
            _move(bar, done / total, left)

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


def _bench(options: Namespace) -> int:
    from .bench import measure, table

    figures = measure(options.device, options.precision)
    print(json.dumps(figures, indent=1) if options.json else table(figures))
    return 0


def _app(options: Namespace) -> int:
    from .enhancer import Enhancer

    enhancer = Enhancer()
    enhancer.tasks.check()
    enhancer.tasks.clean()
    from .web import serve

    serve(enhancer, share=options.share)
    return 0


_COMMANDS = {"run": _run, "compare": _compare, "bench": _bench, "app": _app}


if __name__ == "__main__":
    program()
