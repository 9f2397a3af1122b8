"""The comparison's handlers without a browser: what is kept of it, and when it ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest

from enhance.engine.steps import RowNetwork
from enhance.scheduler import SCHEDULER
from enhance.web import compare
from enhance.web.compare import CompareHandlers, OpenComparison
from enhance.web.controls import ControlHandlers

from .test_handlers import REQUEST, VALUES, page, services, visitor

__all__ = ["page", "services", "visitor"]


@pytest.fixture(autouse=True)
def quick_presets(services, monkeypatch):
    monkeypatch.setattr(type(services), "available", lambda _: {"anime-fast", "anime"})


@pytest.fixture
def handlers(page, services) -> CompareHandlers:
    return CompareHandlers(page, services, ControlHandlers(page, services))


def chosen(handlers: CompareHandlers, name: str) -> list[dict[Any, Any]]:
    """What the page is told after a cell was taken."""
    taken = handlers.take(cast(gr.SelectData, SimpleNamespace(index=name)), REQUEST, *VALUES)
    values = [name, *VALUES[1:]]
    return [taken, *ControlHandlers(handlers._page, handlers._services).wake(REQUEST, *values)]


@pytest.fixture
def networks(services, monkeypatch) -> list[str]:
    """The networks that previews run."""
    ran, preview = [], services.enhancer.preview

    def counting(picture, settings, **square):
        ran.append(settings.model)
        return preview(picture, settings, **square)

    monkeypatch.setattr(services.enhancer, "preview", counting)
    return ran


@pytest.mark.parametrize("most_bytes", [compare.MOST_BYTES, 0])
def test_a_preset_is_taken_from_what_is_kept_else_its_network_runs(
    handlers, visitor, networks, most_bytes, monkeypatch
):
    monkeypatch.setattr(compare, "MOST_BYTES", most_bytes)
    told = list(handlers.toggle(REQUEST, *VALUES))
    assert told[-1][handlers._card.cells].count("<img") == 3

    taken, *followed = chosen(handlers, "anime")
    shown = taken | followed[-1]

    assert networks == ([] if most_bytes else ["realesrgan-x4plus-anime"])
    assert visitor.controls.preset == visitor.preview.info["preset"] == "anime"
    assert shown[handlers._card.cells] == ""
    assert "matches" in shown[handlers._card.chip]
    assert visitor.comparing is None


def test_a_page_that_is_closed_stops_its_comparison_and_opens_without_one(handlers, services, visitor):
    following = handlers.toggle(REQUEST, *VALUES)
    next(following)
    comparison = visitor.comparing
    assert isinstance(comparison, OpenComparison)

    services.visitors.leave(REQUEST)

    assert comparison.wait(60)
    assert visitor.comparing is None
    assert SCHEDULER.count("comparison") == 0
    list(following)


def test_a_preset_that_fails_says_why_where_its_picture_would_be(handlers, services, visitor, monkeypatch):
    load = RowNetwork.load

    def failing(recipe, **options):
        if recipe.model == "realesrgan-x4plus-anime":
            raise MemoryError
        return load(recipe, **options)

    services.enhancer.release()
    monkeypatch.setattr(RowNetwork, "load", failing)

    cells = list(handlers.toggle(REQUEST, *VALUES))[-1][handlers._card.cells]

    failed = cells.partition('<div class="cell failed">')[2].partition("</div>")[0]
    assert "too little free memory" in failed
    assert cells.count('<button type="button" class="cell"') == 1


def test_where_every_preset_fails_the_page_says_why_and_shows_its_preview(handlers, services, visitor, monkeypatch):
    monkeypatch.setattr("enhance.pipeline.render", lambda *_: [][0])

    told = list(handlers.toggle(REQUEST, *VALUES))[-1]

    assert "did not foresee" in told[handlers._card.problem]
    assert told[handlers._card.cells] == ""
