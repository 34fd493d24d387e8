"""Fixtures of the evaluation tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evals import world
from medslm.data.formats.render import Renderer
from medslm.models import load, source

WARNINGS = (
    # simple-icd-10-cm 1.5.0 reads its data that way when imported: https://pypi.org/project/simple-icd-10-cm/
    "ignore:(read_text|open_text) is deprecated:DeprecationWarning",
    # peft 0.21 asks transformers 5.23 for the old name: https://github.com/huggingface/peft/releases
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Other people's warnings, which nobody here can mend."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for warning in WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return world.tokenizer()


@pytest.fixture(scope="session")
def renderer(tokenizer: Any) -> Renderer:
    return Renderer(tokenizer, "toon")


@pytest.fixture
def finished(tmp_path: Path, renderer: Renderer, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a finished run whose base is the toy model."""
    monkeypatch.setattr(load, "tokenizer", lambda base: tokenizer)
    monkeypatch.setattr(load, "model", lambda base, quantization, wanted: world.model())
    monkeypatch.setattr(load, "device", lambda: "cpu")
    monkeypatch.setattr(source, "find", lambda base: source.Source("hub", tmp_path, world.REVISION))
    return world.run(tmp_path / "toy-run", renderer.template_hash)
