"""The GPU of a run: the memory that it may use, which is what is free or what a smaller card would have, and its speed."""

from __future__ import annotations

import time

from medslm.errors import MedslmError
from medslm.train.memory.need import GIB

PRESETS = ("4gb", "8gb", "12gb", "16gb", "24gb", "48gb", "80gb")

PRESET_RESERVE = 1 / 8
"""Of a preset's size: CUDA's context and kernels, the display, and what error correction takes (a T4 of 16 GB has 14.6)."""

PRESET_RESERVE_MOST = 4 * GIB

FREE_RESERVE = 1 / 32
"""Of what is free: kernels that CUDA loads later, and other programs."""

FREE_RESERVE_LEAST = GIB // 4


def budget(gpu: str = "auto") -> int:
    """Bytes for torch's allocator on the current CUDA device: `auto`, or one of `PRESETS`.

    `auto` is what is free but 1/32 of it (0.25 GiB at least). A preset is its size but 1/8 of it (4 GiB at most), so
    that what runs here also runs on a card of that size. Raises `MedslmError` without a GPU, for an unknown preset, and
    for one that is larger than what is free.
    """
    import torch

    if gpu != "auto" and gpu not in PRESETS:
        raise MedslmError(f"gpu={gpu} is no size of GPU memory; choose auto, {', '.join(PRESETS)}")
    if not torch.cuda.is_available():
        raise MedslmError(f"gpu={gpu} asks for a CUDA GPU and there is none; leave gpu at auto to train on the CPU")
    free, _ = torch.cuda.mem_get_info()
    if gpu == "auto":
        return int(free - max(FREE_RESERVE * free, FREE_RESERVE_LEAST))
    wanted = preset(gpu)
    if wanted > free:
        raise MedslmError(
            f"gpu={gpu} plans with {wanted / GIB:.1f} GiB and {free / GIB:.1f} GiB of this GPU are free; close other "
            "programs, choose a smaller preset, or gpu=auto"
        )
    return wanted


def preset(gpu: str) -> int:
    """Bytes for torch's allocator on an empty card of the size of one of `PRESETS`."""
    size = int(gpu.removesuffix("gb")) * GIB
    return int(size - min(PRESET_RESERVE * size, PRESET_RESERVE_MOST))


def arithmetic(device: str = "cuda", width: int = 8192) -> float:
    """Floating point operations a second that a product of two square matrices in bfloat16 reaches on `device`.

    The best of three after a first; it takes 5 ms on an H100 and 0.4 GiB, which are given back.
    """
    import torch

    one = torch.ones(width, width, dtype=torch.bfloat16, device=device)
    two = torch.empty_like(one)
    on_gpu = torch.device(device).type == "cuda"
    times = []
    for _ in range(4):
        if on_gpu:
            torch.cuda.synchronize()
        start = time.perf_counter()
        torch.mm(one, one, out=two)
        if on_gpu:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    del one, two
    if on_gpu:
        torch.cuda.empty_cache()
    return 2.0 * width**3 / min(times[1:])


def limit(size: int) -> None:
    """Let torch's allocator take no more than `size` bytes on the current CUDA device: beyond it, it is out of memory."""
    import torch

    _, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(min(1.0, size / total))
