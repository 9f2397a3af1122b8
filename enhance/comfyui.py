"""A ComfyUI node. A file in ComfyUI's `custom_nodes` with `from enhance.comfyui import *` adds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .enhancer import enhance
from .presets import available_presets
from .settings import Settings

if TYPE_CHECKING:
    import torch

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]


class EnhanceNode:
    """Upscales a batch of images, float [B, H, W, C] from 0 to 1, as all nodes of ComfyUI pass them."""

    CATEGORY = "image/upscaling"
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "upscale"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - the name is ComfyUI's
        share = {"min": 0.0, "max": 1.0, "step": 0.05}
        return {
            "required": {
                "image": ("IMAGE",),
                "preset": (available_presets(),),
                "scale": ("FLOAT", {"default": 4.0, "min": 1.0, "max": 16.0, "step": 0.5}),
            },
            "optional": {
                "strength": ("FLOAT", {"default": 0.6, **share}),
                "fidelity": ("FLOAT", {"default": 1.0, **share}),
            },
        }

    def upscale(
        self,
        image: torch.Tensor,
        preset: str,
        scale: float,
        strength: float | None = None,
        fidelity: float | None = None,
    ) -> tuple[torch.Tensor]:
        """Return the enlarged batch."""
        settings = Settings(preset, scale=scale, strength=strength, fidelity=fidelity)  # type: ignore[arg-type]
        return (enhance(image, settings),)


NODE_CLASS_MAPPINGS = {"Enhance": EnhanceNode}
NODE_DISPLAY_NAME_MAPPINGS = {"Enhance": "Enhance (Real-ESRGAN)"}
