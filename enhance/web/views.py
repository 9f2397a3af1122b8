"""What the handlers share: the services behind them, the line for runs, and the views that several of them show."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from html import escape
from typing import Any

import gradio as gr
from gradio.blocks import BlockContext
from gradio.components import Component
from gradio.context import LocalContext

from ..enhancer import Enhancer
from ..errors import EnhanceError
from ..output.resample import scaled_size
from ..settings import PRESETS, signature
from ..texts import say, straight
from . import fragments
from .language import language_of, reason
from .layout import Page, RunCard
from .metrics import Metrics
from .page_files import Asker, Limits, Outbox, Owners
from .pictures import save_outlined
from .preview import Previews, Shown
from .state import LISTENERS, Visitor, Visitors

Updates = dict[Any, Any]
"""New values by component; Gradio leaves the others as they are."""
Part = Component | BlockContext
UNHEARD_SECONDS = 30.0
"""How long what waits for its turn keeps its place while nobody listens to what will come of it."""
PREVIEWS_ON_THE_WAY = 16
"""How many previews clients may have on the way, a quarter of them one alone; the page's replace each other."""


class LinePlace:
    """A place in the line, from `with` to its end."""

    def __init__(self, line: WaitingLine, asker: Asker, kind: str):
        self._line, self.asker, self.kind = line, asker, kind
        self.began: float | None = None

    def __enter__(self) -> LinePlace:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.leave(self)

    def looks(self, seconds: float) -> Iterator[int]:
        """How many are before it, every so many seconds until its turn."""
        while ahead := self._line.ahead(self):
            yield ahead
            self._line.wait(seconds)


class Attention:
    """Whether anybody waits for what a request asked for: Gradio does it whether or not the answer is fetched."""

    def __init__(self, request: gr.Request):
        self._names = (request.session_hash, LocalContext.event_id.get(None))
        self._seen = time.monotonic()

    @property
    def lost(self) -> bool:
        """Whether nobody has listened for a while."""
        if any(name in LISTENERS for name in self._names):
            self._seen = time.monotonic()
        return time.monotonic() - self._seen > UNHEARD_SECONDS

    def check(self) -> None:
        """Raises EnhanceError when it is lost."""
        if self.lost:
            raise EnhanceError("nobody_listened", seconds=f"{UNHEARD_SECONDS:g}")


class WaitingLine:
    """Counts the runs and batches of everyone: `most` may wait, and one visitor may have a share of them on the way.

    All of one address may have all but such a share, so that there is always room for others. One run has its turn at a
    time. Batches have theirs at once and take turns with the runs file by file.
    """

    def __init__(self, most: int = 20, batches: int = 8):
        self._most = {"run": most + 1, "batch": batches}
        self._share = max(2, most // 4)
        self._of_address = max(self._share, most - self._share)
        self._turns: list[LinePlace] = []
        self._changed = threading.Condition()
        self._seconds = 30.0
        self._served: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._turns)

    def enter(self, asker: Asker, kind: str = "run") -> LinePlace:
        """A place for a visitor. Raises EnhanceError, with the place that it would have had."""
        with self._changed:
            own = sum(turn.asker.name == asker.name for turn in self._turns)
            near = sum(turn.asker.address == asker.address for turn in self._turns)
            of_kind = sum(turn.kind == kind for turn in self._turns)
            full = of_kind >= self._most[kind] or len(self._turns) >= self._most["run"]
            if full or own >= self._share or near >= self._of_address:
                ahead = len(self._turns)
                minutes = max(1, round(ahead * self._seconds / 60))
                key = "queue_full" if full else "queue_share"
                raise EnhanceError(key, own=own if own >= self._share else near, place=ahead + 1, minutes=minutes)
            self._turns.append(turn := LinePlace(self, asker, kind))
        return turn

    def ahead(self, turn: LinePlace) -> int:
        """How many runs come before it; none: it has its turn."""
        with self._changed:
            if turn.kind == "batch" or turn not in self._turns:
                return 0
            before = self._order().index(turn)
            if not before and turn.began is None:
                turn.began = time.monotonic()
                self._served = {name: served for name, served in self._served.items() if self._has(name)}
                self._served[turn.asker.name] = max(self._served.values(), default=0) + 1
            return before

    def _has(self, name: str) -> bool:
        return any(turn.asker.name == name for turn in self._turns)

    def _order(self) -> list[LinePlace]:
        """The runs as they come: the one that goes on, then visitors by turns, each one's in the order of asking."""
        rounds: Counter[str] = Counter()
        order: list[tuple[int, int, int, LinePlace]] = []
        runs = [turn for turn in self._turns if turn.kind == "run"]
        for number, turn in enumerate(sorted(runs, key=lambda turn: turn.began is None)):
            name = turn.asker.name
            round_ = -1 if turn.began is not None else rounds[name]
            order.append((round_, 0 if round_ else self._served.get(name, 0), number, turn))
            rounds[name] += 1
        return [turn for *_, turn in sorted(order, key=lambda one: one[:3])]

    def wait(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait(seconds)

    def leave(self, turn: LinePlace) -> None:
        with self._changed:
            self._turns.remove(turn)
            if turn.began is not None:
                self._seconds += (time.monotonic() - turn.began - self._seconds) / 4
            self._changed.notify_all()


@dataclass(frozen=True)
class Services:
    """The one enhancer, what the page takes, who is there, what is on its way to them, and what counts it all."""

    enhancer: Enhancer
    limits: Limits
    visitors: Visitors
    previews: Previews
    outbox: Outbox
    owners: Owners
    line: WaitingLine = field(default_factory=WaitingLine)
    previews_of_clients: WaitingLine = field(default_factory=lambda: WaitingLine(PREVIEWS_ON_THE_WAY))
    metrics: Metrics = field(default_factory=Metrics)

    def asker(self, request: gr.Request) -> tuple[Visitor, str]:
        """Who sent the request, and the language that they read."""
        return self.visitors.of(request), language_of(request)

    def available(self) -> set[str]:
        """The names of the presets that can be chosen here."""
        return {preset["name"] for preset in self.enhancer.presets() if preset["available"]}

    def status(self) -> dict[str, Any]:
        """What the enhancer tells, with those who wait in the line."""
        status = self.enhancer.status()
        return status | {"waiting": max(status["waiting"], len(self.line) - status["running"])}

    def reason(self, language: str, error: Exception, what: str) -> str:
        """Why something failed, for the person, and counted; `what` failed goes to the log where nobody foresaw it."""
        self.metrics.refused(error)
        return reason(language, error, what)

    @contextmanager
    def told(self, request: gr.Request) -> Iterator[None]:
        """Let every failure reach the client who called as its sentence."""
        try:
            yield
        except Exception as error:
            said = straight(self.reason(language_of(request), error, "A request failed"))
            raise gr.Error(escape(said, quote=False), print_exception=False) from error


def parts(*cards: Any) -> list[Part]:
    """All that a handler may change on these cards; what it does not name stays as it is."""
    return [part for card in cards for field in fields(card) for part in _changing(getattr(card, field.name))]


def _changing(part: Any) -> Iterable[Part]:
    if isinstance(part, RunCard):
        return parts(part)
    if isinstance(part, dict):
        return part.values()
    if isinstance(part, tuple):
        return part
    return [] if isinstance(part, gr.Dataset | gr.Tab) else [part]  # these only listen, and are slow to make anew


def show_preview(page: Page, visitor: Visitor, shown: Shown, language: str) -> Updates:
    """The page after `shown`; the picture stays as it is unless there is a new one."""
    updates: Updates = {
        page.preview.chip: fragments.chip(language, shown.state),
        page.preview.retry: gr.Button(interactive=visitor.upload is not None),
        page.result.chip: show_result_chip(visitor, language),
    }
    if shown.state != "running":
        updates[page.preview.problem] = fragments.problem(shown.problem)
    if shown.pair is not None and shown.box is not None:
        box = shown.box
        updates[page.preview.slider] = (str(shown.pair[0]), str(shown.pair[1]))
        centre = {"x": box.left + box.width // 2, "y": box.top + box.height // 2}
        where = say(language, "preview_where", width=box.width, height=box.height, **centre)
        updates[page.preview.where] = fragments.note(where)
    return updates


def outlined_thumbnail(visitor: Visitor) -> str | None:
    """The thumbnail with the outline of the square, as a file."""
    upload, box = visitor.upload, visitor.box
    if upload is None or box is None:
        return None
    across, down = upload.thumbnail_size[0] / upload.facts.width, upload.thumbnail_size[1] / upload.facts.height
    return str(save_outlined(visitor, "outlined", upload.thumbnail, box, (across, down)))


def show_result_chip(visitor: Visitor, language: str) -> str:
    """Whether the finished picture is that of the controls; nothing while there is none."""
    finished = visitor.finished
    return "" if finished is None else fragments.result_chip(language, result_is_current(visitor))


def result_is_current(visitor: Visitor) -> bool:
    """Whether running again would give the finished picture once more."""
    finished, upload, controls = visitor.finished, visitor.upload, visitor.controls
    if finished is None or upload is None:
        return False
    model, precision = finished.info["model"], finished.info["precision"]
    if PRESETS[controls.preset].model != model["name"]:
        return False
    return finished.info["signature"] == signature(upload.sha256, controls, model["sha256"], precision)


def show_run(page: Page, visitor: Visitor, language: str) -> Updates:
    """Enhance and Cancel as far as they can act now, and why not."""
    upload, running = visitor.upload, visitor.busy
    if upload is None:
        why = say(language, "why_no_picture")
    elif running:
        why = say(language, "why_running")
    else:
        height, width = scaled_size(upload.facts.height, upload.facts.width, visitor.controls.scale)
        why = say(language, "why_ready", width=f"{width:,}", height=f"{height:,}")
    return {
        page.run.enhance: gr.Button(interactive=upload is not None and not running),
        page.run.cancel: gr.Button(interactive=running),
        page.run.why: fragments.note(why),
    }
