"""The official `realesrgan` package as an enhancer, for hosts with a GPU and PyTorch. Wang et al., arXiv 2107.10833.

Everything else of mien runs on ONNX Runtime. This module names no torch: it imports the package, which brings its own,
when such a model is loaded, and only the extra `realesrgan` installs it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from operators.errors import ModelError
from operators.records import Image

__all__ = ["RealEsrgan", "RealEsrganOptions"]


@dataclass(frozen=True, slots=True)
class RealEsrganOptions:
    """Which of the compact networks the weights are of, and how it runs."""

    scale: int = 4
    """How many times larger its output is."""
    features: int = 64
    """Channels of its convolutions."""
    convs: int = 32
    """How many there are."""
    half: bool = True
    """Half precision, on a GPU."""

    def __post_init__(self) -> None:
        if min(self.scale, self.features, self.convs) < 1:
            raise ValueError(f"scale, features and convs must be 1 or more, got {self}")


class RealEsrgan:
    """An `Enhancer`: RGB uint8 crops of any size -> the same crops, `scale` times larger, in the same order."""

    def __init__(self, weights: bytes, options: RealEsrganOptions, *, device: str = "cpu") -> None:
        """Take the bytes of a `.pth` file whose hash was checked; raises ModelError where package or device lack."""
        self.options = options
        self._device = device
        package = _package()
        network = importlib.import_module("realesrgan.archs.srvgg_arch").SRVGGNetCompact(
            num_feat=options.features, num_conv=options.convs, upscale=options.scale, act_type="prelu"
        )
        with tempfile.TemporaryDirectory() as folder:  # the package reads files only
            file = Path(folder) / "weights.pth"
            file.write_bytes(weights)
            try:
                self._engine = package.RealESRGANer(
                    scale=options.scale,
                    model_path=str(file),
                    model=network,
                    pre_pad=0,  # by reflection, which a crop smaller than the pad can't give
                    half=options.half and device != "cpu",
                    device=device,
                )
            except (AssertionError, RuntimeError) as error:  # torch: built without CUDA, no driver, other shapes
                raise ModelError(f"Real-ESRGAN can't run on {device} with these weights: {error}") from error

    @property
    def scale(self) -> int:
        """How many times larger a crop becomes."""
        return self.options.scale

    @property
    def provider(self) -> str:
        """What really runs."""
        return f"PyTorch on {self._device}"

    def __call__(self, crops: Sequence[Image], /) -> list[Image]:
        """Upscale, one by one: the package takes no batches."""
        return [self._upscale(crop) for crop in crops]

    def _upscale(self, crop: Image) -> Image:
        larger, _ = self._engine.enhance(crop[..., ::-1])  # the package speaks BGR
        return np.ascontiguousarray(larger[..., ::-1])


def _package() -> ModuleType:
    """The package, which was written for a module that torchvision has renamed since."""
    try:
        if importlib.util.find_spec("torchvision.transforms.functional_tensor") is None:
            renamed = importlib.import_module("torchvision.transforms._functional_tensor")
            sys.modules["torchvision.transforms.functional_tensor"] = renamed
        return importlib.import_module("realesrgan")
    except ImportError as error:
        raise ModelError(
            f"the package realesrgan can't be imported ({error}): pip install 'mien[realesrgan]', "
            "or use the same network as ONNX, the model srvgg_s-x4.realesr-general-v3"
        ) from error
