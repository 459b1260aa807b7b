"""Device and precision. Apart from the command line, only this module asks whether there is a GPU."""

from __future__ import annotations

import ctypes
import platform
import time
from functools import cache
from statistics import median
from typing import TypeVar, cast

import torch

from augury.errors import SettingsError


def choose_device(name: str = "auto") -> torch.device:
    """Choose the device to compute on.

    Parameters
    ----------
    name
        "auto" (CUDA, else Apple's MPS, else CPU), "cpu", "cuda" or "mps".

    Returns
    -------
    The device.

    Raises
    ------
    SettingsError
        For an unknown name, or a device that is not available.
    """
    available = devices()
    if name == "auto":
        name = next(kind for kind, present in available.items() if present)
    if name not in available:
        raise SettingsError(f"there is no device '{name}'; choose one of: auto, {', '.join(available)}")
    if not available[name]:
        raise SettingsError(f"no {name} device was found by PyTorch {torch.__version__}; use --device auto or cpu")
    return torch.device(name)


def devices() -> dict[str, bool]:
    """Kind of device -> whether it is available, fastest first."""
    return {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}


@cache
def choose_precision(device: torch.device) -> str:
    """Measure which precision is faster on this device.

    Returns "bf16" where a 3×3 convolution, forward and backward, is at least 1.3 times as fast as in fp32; else "fp32".

    Measured once per process (about 0.1 s). Processors without bf16 instructions emulate it about ten times slower.
    """
    if device.type == "mps":
        return "fp32"
    images, channels, side = (
        (64, 256, 32) if device.type == "cuda" else (16, 64, 16)
    )  # on a GPU, small ones measure latency only
    layer = placed(torch.nn.Conv2d(channels, channels, 3, padding=1), device)
    x = torch.zeros(images, channels, side, side, device=device).contiguous(memory_format=torch.channels_last)

    def spent(enabled: bool) -> float:
        begun = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=enabled):
            layer(x).sum().backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begun

    times = {enabled: median(spent(enabled) for _ in range(7)) for enabled in (False, True)}
    return "bf16" if times[False] > 1.3 * times[True] else "fp32"


def prepare(device: torch.device) -> None:
    """Apply process settings that make training faster. On CPU freed memory is reused. On CUDA (unverified) fp32 products
    may round their factors to TF32.
    """
    if device.type == "cpu":
        keep_memory()
    elif device.type == "cuda":
        torch.set_float32_matmul_precision("high")


@cache
def keep_memory() -> bool:
    """Make glibc reuse freed blocks instead of returning them to the system; True when it accepted the setting.

    Training allocates and frees the same large tensors at every step. Page faults on fresh memory cost about a tenth of a
    small network's time on CPU.
    """
    if platform.system() != "Linux":
        return False
    try:
        libc = ctypes.CDLL("libc.so.6")
        return bool(libc.mallopt(-3, 1 << 30)) and bool(libc.mallopt(-1, (1 << 31) - 1))  # M_MMAP_, M_TRIM_THRESHOLD
    except (OSError, AttributeError):
        return False


def out_of_memory(error: RuntimeError) -> bool:
    """Whether PyTorch failed to allocate memory, on a GPU or from the system."""
    message = str(error)
    signs = ("can't allocate memory", "backend out of memory", "ALLOC_FAILED")  # the last one is from cuBLAS and cuDNN
    return isinstance(error, torch.OutOfMemoryError) or any(sign in message for sign in signs)


Net = TypeVar("Net", bound=torch.nn.Module)


def placed(module: Net, device: torch.device | str) -> Net:
    """Move a module to a device, with convolution weights in channels-last order (measured faster on CPU and GPU).

    Parameters
    ----------
    module
        Any network; it is changed in place.
    device
        The target device.

    Returns
    -------
    The same module.
    """
    return cast(Net, module.to(device, memory_format=torch.channels_last))  # type: ignore[call-overload]
