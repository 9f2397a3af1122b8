"""Fixtures for the tests against other implementations. basicsr needs a module that torchvision
removed."""

from __future__ import annotations

from contextlib import suppress

import pytest
import torch

from docs.measure_peers import supply_functional_tensor

with suppress(ImportError):
    supply_functional_tensor()


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """Give the test its own weights folder, and one thread, which is fastest for networks as small
    as these."""
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(tmp_path / "weights"))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path / "weights"
    torch.set_num_threads(before)
