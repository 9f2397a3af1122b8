"""The two networks of the preset `fast` from the authors' ncnn files, if the official files are not installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch

from enhance import models
from enhance.models.ncnn import read_shipped
from enhance.models.networks import SHIPPED

STEMS = {
    "realesr-general-x4v3": "RealESRGAN_General_x4_v3",
    "realesr-general-wdn-x4v3": "RealESRGAN_General_WDN_x4_v3",
}

States = Mapping[str, Mapping[str, torch.Tensor]]


def fast_states(find: Callable[[str], Path]) -> States:
    """Return the tensors of both networks by model and official name. `find` returns the path of a file."""
    states = {}
    for name, stem in STEMS.items():
        tensors = read_shipped(SHIPPED[name](), find(f"{stem}.bin").read_bytes())
        states[name] = {key: torch.from_numpy(values) for key, values in tensors.items()}
    return states


@contextmanager
def use_fast_states(states: States) -> Iterator[None]:
    """Run the preset `fast` with these tensors, although their files are not in the manifest."""
    ensure, locate, read = models.ensure, models.locate, models.read_state_dict

    def with_fast(real: Callable) -> Callable:
        def located(name: str, *rest: object, **named: object) -> models.Located | None:
            if name not in states:
                return real(name, *rest, **named)
            return models.Located(name, Path(), name.encode().hex()[:64], "ncnn")

        return located

    with (
        mock.patch.object(models, "ensure", with_fast(ensure)),
        mock.patch.object(models, "locate", with_fast(locate)),
        mock.patch.object(models, "read_state_dict", lambda one: states.get(one.name) or read(one)),
    ):
        yield
