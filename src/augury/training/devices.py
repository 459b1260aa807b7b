"""Device and precision. Apart from the command line, only this module asks whether there is a GPU."""

from __future__ import annotations

import ctypes
import platform
from functools import cache
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


def use_own_gpu(local_rank: int) -> bool:
    """Make "cuda" mean the GPU of this number, for one of several processes on a machine; unverified.

    Returns
    -------
    Whether PyTorch finds GPUs.

    Raises
    ------
    SettingsError
        When there are GPUs, but none for this process.
    """
    count = torch.cuda.device_count()
    if not count:
        return False
    if local_rank >= count:
        raise SettingsError(
            f"process {local_rank} of this machine has no GPU of its own, since there are {count}; have torchrun start at most {count} "
            "on this machine, or hide the GPUs with CUDA_VISIBLE_DEVICES= and use --device cpu"
        )
    torch.cuda.set_device(local_rank)
    return True


def devices() -> dict[str, bool]:
    """Kind of device -> whether it is available, fastest first."""
    return {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}


def choose_precision(device: torch.device) -> str:
    """Choose the precision in which a device computes fast.

    Returns "bf16" for a CUDA device with bf16 units and for a CPU with AVX512-BF16 or AMX, else "fp32". Processors without such
    instructions emulate bf16 about ten times slower.

    The capabilities decide, not a measured time: the same command gives the same bytes on a busy machine too.
    """
    if device.type == "cuda":
        ampere = torch.version.hip is not None or torch.cuda.get_device_capability(device)[0] >= 8
        return "bf16" if ampere else "fp32"
    if device.type != "cpu":
        return "fp32"
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # absent in older releases
    return "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "fp32"


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
