"""The settings that the stack reads at import, decided before anything heavy is imported."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

import medslm
from medslm.errors import MedslmError

DEFAULTS = {
    "OMP_WAIT_POLICY": "PASSIVE",  # spinning OpenMP threads slow shared cores down by a factor of ten
    "HF_HUB_DISABLE_TELEMETRY": "1",  # TRL would report each start
    "DO_NOT_TRACK": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",  # datasets would report each load of a local file
    "TOKENIZERS_PARALLELISM": "false",  # or tokenizers warn at every fork of a data loader
    "HF_HUB_DISABLE_SYMLINKS_WARNING": "1",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",  # stdout is for what was asked
    "VLLM_HOST_IP": "127.0.0.1",  # its parts talk to each other on one machine; else it listens on every address
    "WANDB_SILENT": "true",
    "WANDB_DISABLE_CODE": "true",  # no source code and no diff of it leaves the machine by way of a log
    # passes differ in length, and pieces of GPU memory that fit none of them would add a third to a run's peak
    **({"PYTORCH_ALLOC_CONF": "expandable_segments:True"} if sys.platform == "linux" else {}),
}


def prepare() -> None:
    """Set each default that the user has not set. Call it before the first import of torch.

    With `MEDSLM_BUNDLE` the Hub's cache is the bundle's, and nothing is asked of the network.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    if folder := bundle():
        os.environ["HF_HUB_CACHE"] = str(folder / "hub")
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("HF_DATASETS_OFFLINE", "1")


def quiet() -> None:
    """Keep from the user what libraries tell each other; what concerns the run is still said."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    # bitsandbytes asks for a package that downloads kernels at run time; it has kernels of its own
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # peft 0.21 reads a property that transformers 5.20 has renamed
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)


def cache() -> Path:
    """Where converted models are kept: `MEDSLM_CACHE`, or `~/.cache/medslm` as XDG_CACHE_HOME has it."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("MEDSLM_CACHE") or Path(home) / "medslm")


def make(folder: Path) -> None:
    """Make a folder of the cache, if it is not there. Raises `MedslmError` where none can be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MedslmError(
            f"{folder} cannot be made ({error.strerror}); set MEDSLM_CACHE to a folder that can be written"
        ) from error


def bundle() -> Path | None:
    """The folder that `medslm bundle` has made, as `MEDSLM_BUNDLE` names it: models and datasets are read from there."""
    named = os.environ.get("MEDSLM_BUNDLE")
    return Path(named).absolute() if named else None


def cpus() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Of those that are installed, by name; this library's own also where it runs from its source folder."""
    found = {}
    for name in packages:
        try:
            found[name] = medslm.__version__ if name == "medslm" else importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
