"""The fast photo network's two ends from the authors' files in ncnn's form, where the manifest's files are not here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch

from enhance import models
from enhance.models.ncnn import official_tensors
from enhance.models.networks import SHIPPED

STEMS = {
    "realesr-general-x4v3": "RealESRGAN_General_x4_v3",
    "realesr-general-wdn-x4v3": "RealESRGAN_General_WDN_x4_v3",
}

States = Mapping[str, Mapping[str, torch.Tensor]]


def fast_states(find: Callable[[str], Path]) -> States:
    """The tensors of both ends by model and official name; `find` gives a file's path by its name."""
    states = {}
    for name, stem in STEMS.items():
        param, data = find(f"{stem}.param").read_text("ascii"), find(f"{stem}.bin").read_bytes()
        tensors = official_tensors(SHIPPED[name](), param, data)
        states[name] = {key: torch.from_numpy(values) for key, values in tensors.items()}
    return states


@contextmanager
def standing_in(states: States) -> Iterator[None]:
    """The preset `fast` runs on these tensors, although their files are not those of the manifest."""
    ensure, locate, read = models.ensure, models.locate, models.read_state_dict

    def or_else(real: Callable) -> Callable:
        def located(name: str, *rest: object, **named: object) -> models.Located | None:
            if name not in states:
                return real(name, *rest, **named)
            return models.Located(name, Path(), name.encode().hex()[:64], "ncnn")

        return located

    with (
        mock.patch.object(models, "ensure", or_else(ensure)),
        mock.patch.object(models, "locate", or_else(locate)),
        mock.patch.object(models, "read_state_dict", lambda one: states.get(one.name) or read(one)),
    ):
        yield
