"""Every test runs without a network beyond loopback, in a home of its own, against a toy world or the embedded base."""

from __future__ import annotations

import os
import runpy
import tempfile
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
HOME = Path(tempfile.mkdtemp(prefix="medslm-tests-"))
OURS = ("HF_", "HUGGING", "TRANSFORMERS_", "WANDB_", "OPENAI_", "MEDSLM_")
for name in [name for name in os.environ if name.startswith(OURS)]:
    del os.environ[name]  # caches, keys, servers and settings of whoever runs the tests
os.environ |= {  # read at import by what is imported below and by every process that a test starts
    "HF_HOME": str(HOME / "hf"),
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "MEDSLM_CACHE": str(HOME / "medslm"),
    "WANDB_MODE": "disabled",
    "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
    "PYTHONPATH": os.pathsep.join([str(TESTS / "offline"), *filter(None, [os.environ.get("PYTHONPATH")])]),
}
runpy.run_path(str(TESTS / "offline" / "sitecustomize.py"))["deny"]()  # a system's own module may have that name

from medslm import environment  # noqa: E402

environment.prepare()

import shutil  # noqa: E402

import pytest  # noqa: E402

import toy  # noqa: E402
from medslm.models.base import Base, resolve  # noqa: E402

AT_START = {name: os.environ.get(name) for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")}


@pytest.fixture(scope="session", autouse=True)
def home() -> Iterator[Path]:
    """The folder in which all caches of this session live; gone afterwards."""
    yield HOME
    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `environment.prepare` and `medslm doctor` have set for an earlier test's process is not this one's."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        if AT_START[name] is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, AT_START[name])


@pytest.fixture(scope="session")
def toy_base() -> Base:
    """A tiny Llama with a chat template, in the Hub's cache of this session under `toy.HUB_ID`."""
    toy.cache(HOME / "hf" / "hub")
    return resolve(toy.HUB_ID)


@pytest.fixture(scope="session")
def real_base() -> Base:
    """SmolLM2-135M-Instruct from its package, converted once a session."""
    return resolve("smollm2-135m-instruct")
