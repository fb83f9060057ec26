"""A thin ONNX Runtime session: named outputs, one device, and no silent fallback to another.

The extras `cpu` (onnxruntime) and `gpu` (onnxruntime-gpu) exclude each other: what is installed decides which devices
there are, and ONNX Runtime is imported when the first session is made.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from operators.errors import ModelError
from operators.records import Floats

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions

__all__ = ["DEVICES", "Session", "kernel_seconds"]

DEVICES = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
}
"""Device -> ONNX Runtime providers, in order of preference; the first one must run."""


class Session:
    """One network on one device. Call it with its inputs in their order; it returns its outputs as a list of arrays."""

    def __init__(
        self, model: Path | bytes, *, device: str = "cpu", threads: int = 0, outputs: Sequence[str] | None = None
    ) -> None:
        """Load `model` (a file or serialised ONNX).

        Args:
            model: ONNX file, or its bytes.
            device: a key of `DEVICES`.
            threads: threads within one call; 0 = one per core.
            outputs: names of the outputs to compute, in this order; None = all.

        Raises:
            ModelError: ONNX Runtime or the device is missing, or the file can't be read as a network.
        """
        runtime = _runtime()
        self._session = _open(runtime, model, device=device, threads=threads)
        self._faults = _run_faults(runtime)
        self._inputs = tuple(self.input_shapes)
        self._outputs = list(outputs) if outputs is not None else None
        _check_outputs(self._session, outputs or ())

    @property
    def provider(self) -> str:
        """The execution provider that really runs, such as `CPUExecutionProvider`."""
        return str(self._session.get_providers()[0])

    @property
    def input_shapes(self) -> dict[str, tuple[int | str | None, ...]]:
        """Shape of each input by name, in their order; a free axis has a name or None in place of a number."""
        return {source.name: tuple(source.shape) for source in self._session.get_inputs()}

    def __call__(self, *inputs: NDArray[np.generic]) -> list[Floats]:
        """Run the network on one batch of each of its inputs.

        Raises ModelError where there are more or fewer inputs, or ONNX Runtime fails on them.
        """
        if len(inputs) != len(self._inputs):
            raise ModelError(f"the network reads {', '.join(self._inputs)}; it was given {len(inputs)} inputs")
        start = time.thread_time()
        feed = {name: np.ascontiguousarray(batch) for name, batch in zip(self._inputs, inputs, strict=True)}
        try:
            results: list[Floats] = self._session.run(self._outputs, feed)
        except self._faults as error:
            there = ", ".join(f"{name} {batch.shape} {batch.dtype}" for name, batch in feed.items())
            raise ModelError(f"the network failed on {there}: {error}") from error
        _spent.add(time.thread_time() - start)
        return results


class _Stopwatch:
    """A sum of seconds that threads may add to."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock = threading.Lock()

    def add(self, seconds: float) -> None:
        with self._lock:
            self.seconds += seconds


_spent = _Stopwatch()


def kernel_seconds() -> float:
    """CPU seconds that callers of networks have spent in them since this process began.

    All of the work with `threads=1`; with more, what the runtime's own threads did is not in it.
    """
    return _spent.seconds


def _runtime() -> ModuleType:
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise ModelError(
            "ONNX Runtime is not installed: install mien[cpu], or mien[gpu] on a machine with a CUDA device"
        ) from error


def _run_faults(runtime: ModuleType) -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises while a network runs: wrong inputs, no memory, a device that fails."""
    state = runtime.capi.onnxruntime_pybind11_state
    return (
        state.EPFail,
        state.EngineError,
        state.Fail,
        state.InvalidArgument,
        state.NotImplemented,
        state.RuntimeException,
    )


def _open(runtime: ModuleType, model: Path | bytes, *, device: str, threads: int) -> InferenceSession:
    if threads < 0:
        raise ModelError(f"threads must be 0 (one per core) or more, got {threads}")
    wanted = _providers(runtime, device)
    state = runtime.capi.onnxruntime_pybind11_state
    try:
        session = runtime.InferenceSession(
            str(model) if isinstance(model, Path) else model, _options(runtime, threads), providers=list(wanted)
        )
    except (state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NoSuchFile) as error:
        name = model if isinstance(model, Path) else "the network in memory"
        raise ModelError(f"{name} is not a network that ONNX Runtime can run: {error}") from error
    if session.get_providers()[0] != wanted[0]:
        raise ModelError(
            f"device {device} was asked for, but ONNX Runtime fell back to {session.get_providers()[0]}: "
            "check the driver and the CUDA and cuDNN libraries, or set device to cpu"
        )
    return session


def _providers(runtime: ModuleType, device: str) -> tuple[str, ...]:
    if device not in DEVICES:
        raise ModelError(f"device must be one of {', '.join(DEVICES)}, got {device!r}")
    wanted = DEVICES[device]
    available = runtime.get_available_providers()
    if wanted[0] not in available:
        raise ModelError(
            f"device {device} needs {wanted[0]}, but this ONNX Runtime has only {', '.join(available)}: "
            "install mien[gpu] in place of mien[cpu], or set device to cpu"
        )
    if device != "cpu":
        runtime.preload_dlls()  # finds CUDA and cuDNN where pip put them
    return wanted


def _options(runtime: ModuleType, threads: int) -> SessionOptions:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # what matters is raised; warnings about unused initialisers only alarm people
    # A spinning worker would hold a core that capture needs to decode the next frame.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


def _check_outputs(session: InferenceSession, outputs: Sequence[str]) -> None:
    there = [output.name for output in session.get_outputs()]
    missing = [name for name in outputs if name not in there]
    if missing:
        raise ModelError(f"the network should have the outputs {', '.join(missing)}; it has {', '.join(there)}")
