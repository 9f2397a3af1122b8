"""The stream of a network: a pass over the image for each phase, with stored feature maps between
them.

`enhance.models.phases` explains barriers and phases. An `index` is that of a node in the graph of
its phase, and a `place` that in the whole graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from enhance.models.graphs import Scaled, StoredMap, is_rounded
from enhance.models.phases import Phase, split

from ..images.worker import allocate_pixels
from .device import free_memory
from .kernels import ImageRows, Kernel, scale_and_shift
from .stream import Check, Sink, Stream

_GPU_SHARE = 0.5
"""The share of the free memory of a GPU that stored feature maps can use. Larger maps are stored
outside the GPU."""


class RowStatistics:
    """The mean and variance of the channels of a feature map that is added in strips of rows.

    They are computed for each row first, so neither the strips nor their order change the result.
    All rows have the same length: the total mean is the mean of the rows' means, and the total
    variance is the mean of the rows' variances plus the variance of their means (Chan et al.,
    1979).
    """

    def __init__(self, height: int, channels: int, device: torch.device):
        self._rows = torch.empty(2, height, channels, device=device)

    def add(self, first: int, rows: Tensor) -> None:
        """Add the rows [n, W, C] from row `first` on."""
        values = rows.float()
        mean = values.mean(1)  # [n, C]
        deviations = values - mean.unsqueeze(1)
        means, variances = self._rows
        means[first : first + len(rows)] = mean
        variances[first : first + len(rows)] = deviations.square_().mean(1)

    def total(self) -> Tensor:
        """Return mean and variance over all rows, [2, 1, C]."""
        means, variances = self._rows.cpu().double()
        mean = means.mean(0, keepdim=True)
        variance = (variances + (means - mean).square()).mean(0, keepdim=True)
        return torch.stack([mean, variance]).float()


class PhasedStream:
    """The computation of one image by one network, with a `Stream` for each phase.

    A network without barriers has one phase. `dtype` is the precision of the convolutions.

    The feature maps between two phases are unnamed files in `folder` if they are large. Raises
    StorageError if there is not enough disk space for them.
    """

    def __init__(self, image: ImageRows, dtype: torch.dtype, *, folder: Path | None = None):
        self.image = image
        self._statistics: dict[int, Tensor] = {}
        """The mean and variance [2, 1, C] of the channels of feature maps, by their place."""
        self._normalised = {
            node.sources[0] for node in image.graph.nodes if isinstance(node, Scaled)
        }
        self._phases, slots = split(image.graph)
        self._phase = 0
        self._measured: dict[int, RowStatistics] = {}  # in the current phase
        self.work = image.graph.work / len(self._phases)
        """Multiply-adds for one image pixel in one pass, on average."""
        self.maps = self._allocate(slots, dtype, folder)
        self.current = self._begin(self._phases[0])
        """The stream of this phase."""

    @property
    def finished(self) -> bool:
        return self.current.finished and self._is_last_phase

    @property
    def _is_last_phase(self) -> bool:
        return self._phase == len(self._phases) - 1

    def step(
        self,
        kernels: Mapping[int, Kernel],
        rows: int,
        check: Check = lambda: None,
        strips: int = 1,
        rounds: int = 1,
    ) -> Tensor:
        """Return the next output rows as `Stream.step` does, none before the last phase."""
        if self.current.finished and not self.finished:
            for place, measured in self._measured.items():
                self._statistics[place] = measured.total()
            self._phase += 1
            self.current = self._begin(self._phases[self._phase])
        output = self.current.step(self._phase_kernels(kernels), rows, check, strips, rounds)
        if self._is_last_phase:
            return output
        return output[:0]

    def work_done(self) -> float:
        """Return the share of all multiply-adds that is done, 0..1."""
        return (self._phase + self.current.work_done()) / len(self._phases)

    def _phase_kernels(self, kernels: Mapping[int, Kernel]) -> dict[int, Kernel]:
        """Return the kernels of this phase. Those of barriers follow from the statistics."""
        found: dict[int, Kernel] = {}
        phase = self._phases[self._phase]
        for index, (place, node) in enumerate(zip(phase.places, phase.graph.nodes, strict=True)):
            if isinstance(node, Scaled):
                source = self.image.graph.nodes[place].sources[0]
                gain, shift = kernels[place](self._statistics[source].to(self.image.device))
                found[index] = partial(scale_and_shift, gain=gain, shift=shift)
            # A stored map has no sources, but the place of the node that computed it.
            elif node.sources:
                found[index] = kernels[place]
        return found

    def _begin(self, phase: Phase) -> Stream:
        """Return the stream of a phase, which writes its feature maps to `self.maps` and measures
        some of them."""
        sinks: dict[int, list[Sink]] = {}
        self._measured = {}
        for index, slot in phase.stores.items():  # A loaded slot is read before it is overwritten.
            feature_map = self.maps[slot]
            sinks[index] = [partial(_write, feature_map)]
            place = phase.places[index]
            if place in self._normalised:
                measured = RowStatistics(len(feature_map), feature_map.shape[2], self.image.device)
                self._measured[place] = measured
                sinks[index].append(measured.add)
        loads = {index: self.maps[slot] for index, slot in phase.loads.items()}
        return Stream(phase.graph, self.image, loads, sinks)

    def _allocate(
        self, slots: list[StoredMap], dtype: torch.dtype, folder: Path | None
    ) -> list[Tensor]:
        """Return memory for the slots, [H, W, C] each: of the GPU if there is enough, else mapped
        files if large."""
        device = self.image.device
        height = self.image.height
        width = self.image.width
        needed = sum(slot.bytes(height, width, dtype.itemsize) for slot in slots)
        on_gpu = device.type == "cuda" and needed <= _GPU_SHARE * free_memory(device)
        maps = []
        for slot in slots:
            slot_dtype = dtype if is_rounded(slot) else torch.float32
            shape = slot.length(height), slot.length(width), slot.channels
            if on_gpu:
                maps.append(torch.empty(shape, dtype=slot_dtype, device=device))
            else:
                row = slot.channels * slot_dtype.itemsize  # in bytes, as NumPy has no bfloat16
                values = allocate_pixels((*shape[:2], row), "uint8", folder)
                maps.append(torch.from_numpy(values).view(slot_dtype))
        return maps


def _write(feature_map: Tensor, first: int, rows: Tensor) -> None:
    feature_map[first : first + len(rows)].copy_(rows)
