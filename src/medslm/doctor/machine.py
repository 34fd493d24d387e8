"""What this machine is: cores and what they multiply, memory, disks, and the GPU with its driver."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medslm import environment
from medslm.doctor import limits
from medslm.doctor.finding import Finding

GIB = 2**30
LITTLE_DISK = 5 * GIB
"""Less is a warning: a base of 1 billion weights takes 2 GiB, and its checkpoints half of that."""

DRIVER = re.compile(r"Driver Version:\s*([\d.]+)\s+CUDA(?: UMD)? Version:\s*([\d.]+)")


@dataclass(frozen=True)
class Gpu:
    """The first GPU that this process sees."""

    name: str
    total: int
    """Bytes."""

    free: int
    capability: tuple[int, int]
    """Compute capability: (9, 0) is Hopper."""


@dataclass(frozen=True)
class Driver:
    """What `nvidia-smi` says, which works where torch does not see the GPU."""

    version: str
    cuda: str
    """The newest CUDA that it can run."""


@dataclass(frozen=True)
class Machine:
    """Measured, not guessed; sizes in bytes."""

    system: str
    cpus: int
    vectors: str
    """What torch's kernels use: `AVX512`, `AVX2`, `DEFAULT`."""

    bfloat16: bool
    """Whether the CPU multiplies bfloat16 by itself (AVX512-BF16)."""

    amx: bool
    """Whether it multiplies tiles of them (AMX)."""

    memory: int
    """All that this process may take; the limit of a container or of a cluster's job counts."""

    memory_free: int
    torch_cuda: str | None
    """The CUDA that torch was built with; none of a CPU build."""

    gpu: Gpu | None
    gpus: int
    driver: Driver | None

    def as_json(self) -> dict[str, Any]:
        """For a script."""
        return asdict(self)


def look() -> Machine:
    """Ask torch, the system and the driver."""
    import torch

    total, free = _memory()
    found = _gpu()
    return Machine(
        system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        cpus=environment.cpus(),
        vectors=torch.backends.cpu.get_cpu_capability(),
        bfloat16=torch.cpu._is_avx512_bf16_supported(),
        amx=torch.cpu._is_amx_tile_supported(),
        memory=total,
        memory_free=free,
        torch_cuda=torch.version.cuda,
        gpu=found,
        gpus=torch.cuda.device_count() if found else 0,
        driver=_driver(),
    )


def _memory() -> tuple[int, int]:
    import psutil  # type: ignore[import-untyped]  # it has no stubs

    found = psutil.virtual_memory()
    bounds = [(found.total, found.available), *limits.limits()]
    return min(most for most, _ in bounds), min(free for _, free in bounds)


def _gpu() -> Gpu | None:
    import torch

    if not torch.cuda.is_available():
        return None
    free, total = torch.cuda.mem_get_info()
    return Gpu(torch.cuda.get_device_name(), total, free, torch.cuda.get_device_capability())


def _driver() -> Driver | None:
    try:
        done = subprocess.run(["nvidia-smi"], check=False, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return read_driver(done.stdout)


def read_driver(text: str) -> Driver | None:
    """The head of `nvidia-smi`'s table; none where it says something else."""
    found = DRIVER.search(text)
    return Driver(found[1], found[2]) if found else None


def findings(machine: Machine) -> Iterator[Finding]:
    """One line a part."""
    yield Finding("system", machine.system)
    known = [word for word, has in (("bfloat16", machine.bfloat16), ("AMX", machine.amx)) if has]
    yield Finding("CPU", f"{machine.cpus} cores, {', '.join([machine.vectors, *known])}")
    yield Finding("memory", f"{machine.memory / GIB:.1f} GiB, {machine.memory_free / GIB:.1f} GiB of them free")
    yield _of_gpu(machine)


def _of_gpu(machine: Machine) -> Finding:
    gpu, driver = machine.gpu, machine.driver
    if gpu is None:
        return _no_gpu(machine)
    built = f"torch is built for CUDA {machine.torch_cuda}" + (
        f", driver {driver.version} runs up to {driver.cuda}" if driver else ", nvidia-smi does not answer"
    )
    more = f", the first of {machine.gpus}" if machine.gpus > 1 else ""
    major, minor = gpu.capability
    size = f"{gpu.total / GIB:.1f} GiB, {gpu.free / GIB:.1f} GiB of them free, capability {major}.{minor}"
    return Finding("GPU", f"{gpu.name}{more}: {size}; {built}")


def _no_gpu(machine: Machine) -> Finding:
    """Why torch sees none: there may be none, or torch was not built for it, or the driver is too old."""
    driver, built = machine.driver, machine.torch_cuda
    if driver is None:
        return Finding("GPU", "none: training runs on the CPU, which suffices for small bases and little data")
    there = f"the driver ({driver.version}) has one, and torch does not see it: "
    if built is None:
        why = "torch is a CPU build"
        advice = "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu" + _newest(
            driver.cuda
        )
    elif os.environ.get("CUDA_VISIBLE_DEVICES") is not None:
        why, advice = f"CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']}", "unset CUDA_VISIBLE_DEVICES"
    elif _number(built) > _number(driver.cuda):
        why = f"torch is built for CUDA {built}, the driver runs up to {driver.cuda}"
        advice = f"a newer driver, or a torch that is built for CUDA {driver.cuda}"
    else:
        why, advice = f"torch is built for CUDA {built}, the driver runs up to {driver.cuda}", "look at `nvidia-smi`"
    return Finding("GPU", there + why, "warning", advice)


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:2]))


def _newest(cuda: str) -> str:
    """`13.0` -> `130`; PyTorch's index has a folder for each."""
    return "".join(map(str, _number(cuda)))


def disks(folders: Mapping[str, Path]) -> Iterator[Finding]:
    """Free space and the right to write, of each folder or the nearest one above it that is there."""
    for what, folder in folders.items():
        if (file := _file(folder)) is not None:
            told = f"{folder} cannot be a folder: {file} is a file"
            yield Finding(what, told, "failure", "choose another place")
            continue
        there = nearest(folder)
        free = shutil.disk_usage(there).free
        told = f"{folder}: {free / GIB:,.1f} GiB free"
        if not os.access(there, os.W_OK):
            yield Finding(
                what, f"{told}, and it cannot be written", "failure", "choose another place, or ask for the right"
            )
        elif free < LITTLE_DISK:
            yield Finding(what, told, "warning", "free some space")
        else:
            yield Finding(what, told)


def _file(folder: Path) -> Path | None:
    """The file that stands where the folder, or one above it, would have to be."""
    whole = folder.expanduser().absolute()
    found = next(path for path in (whole, *whole.parents) if path.exists())
    return None if found.is_dir() else found


def nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    whole = folder.expanduser().absolute()
    return next(path for path in (whole, *whole.parents) if path.is_dir())


def places(runs: Path) -> dict[str, Path]:
    """Where bytes go: the caches and the runs."""
    from huggingface_hub import constants

    return {"Hub's cache": Path(constants.HF_HUB_CACHE), "medslm's cache": environment.cache(), "runs": runs}
