"""What a format needs is said before any weight is loaded."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from medslm.errors import MedslmError
from medslm.export import compressed, onnx
from medslm.export.formats import Options, chosen


def test_without_optimum_the_environment_to_make_is_said(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.delenv("MEDSLM_OPTIMUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        MedslmError, match=r"optimum-cli, which is not there: `make env-onnx` .*\.venv-onnx/bin/optimum-cli"
    ):
        onnx.converter(None)


def test_without_onnx_runtime_the_install_line_is_said(monkeypatch: Any, tmp_path: Path) -> None:
    (tmp_path / "optimum-cli").touch()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MedslmError, match=r'`pip install "medslm\[onnx\]"`'):
        onnx.require(tmp_path / "optimum-cli")


def test_without_compressed_tensors_the_install_line_is_said(monkeypatch: Any) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MedslmError, match=r"pip install .*compressed-tensors.*medslm compress"):
        compressed.require()


def test_a_type_that_a_format_does_not_have_is_refused() -> None:
    with pytest.raises(MedslmError, match="safetensors has no type 'int4'; it has stored"):
        chosen("safetensors", Options("int4"))


def test_a_converter_that_would_not_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MedslmError, match="written without a converter"):
        chosen("safetensors", Options("", tmp_path))


def test_rotary_frequencies_are_told_where_older_versions_look(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"rope_parameters": {"rope_type": "default", "rope_theta": 100000.0}}', encoding="utf-8")
    onnx._tell_older_versions(config)
    assert '"rope_theta": 100000.0\n}' in config.read_text(encoding="utf-8")
