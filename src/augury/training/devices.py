"""Where and how precisely to compute: the only place, with the command line, that asks whether there is a GPU."""

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
    """'auto' (CUDA, else Apple's MPS, else CPU), 'cpu', 'cuda' or 'mps' -> device; SettingsError when it is not there."""
    available = devices()
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    if name not in available:
        raise SettingsError(f"there is no device '{name}'; choose one of: auto, {', '.join(available)}")
    if not available[name]:
        raise SettingsError(f"no {name} device was found by PyTorch {torch.__version__}; use --device auto or cpu")
    return torch.device(name)


def devices() -> dict[str, bool]:
    """Kind of device -> whether there is one, the fastest first."""
    return {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}


@cache
def choose_precision(device: torch.device) -> str:
    """'bf16' where a 3×3 convolution, forward and back, is at least 1.3 times as fast as in fp32 on this device.

    Measured once a process (about 0.1 s): processors without bf16 instructions emulate it, tenfold slower.
    """
    if device.type == "mps":
        return "fp32"
    images, channels, side = (64, 256, 32) if device.type == "cuda" else (16, 64, 16)  # small ones only wait on a GPU
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
    """Settings of the process that make training faster: freed memory is kept on CPU, and on CUDA (unverified) products in
    fp32 may round their factors to TF32."""
    if device.type == "cpu":
        keep_memory()
    elif device.type == "cuda":
        torch.set_float32_matmul_precision("high")


@cache
def keep_memory() -> bool:
    """Tell glibc to reuse freed blocks instead of returning them to the system; True when it agreed.

    Training frees and takes the same large tensors at every step; page faults on fresh ones cost about a tenth of a
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
    """Whether PyTorch could not get the memory it asked for, on a GPU or from the system."""
    told = str(error)
    signs = ("can't allocate memory", "backend out of memory", "ALLOC_FAILED")  # the last of cuBLAS and cuDNN
    return isinstance(error, torch.OutOfMemoryError) or any(sign in told for sign in signs)


Net = TypeVar("Net", bound=torch.nn.Module)


def placed(module: Net, device: torch.device | str) -> Net:
    """The module on `device`, its convolution weights in channels-last order (measured faster on CPU and GPU)."""
    return cast(Net, module.to(device, memory_format=torch.channels_last))  # type: ignore[call-overload]
