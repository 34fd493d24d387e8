"""Asking an adapter: as in training, and what is said when that is not possible."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import toy
from medslm.errors import MedslmError
from medslm.infer import local
from medslm.models import load
from medslm.models.base import Base
from medslm.models.lora import loras

INSTRUCTION = "Give the ICD-10-CM chapter and code."


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory, toy_base: Base) -> Path:
    """The folder of a published adapter: weights, and the record of its run beside them."""
    folder = tmp_path_factory.mktemp("published")
    model = load.with_new_adapter(load.model(toy_base, wanted="float32"), loras["attention-r16"])
    model.peft_config["default"].base_model_name_or_path = toy.HUB_ID
    model.save_pretrained(str(folder), save_embedding_layers=False)
    write(folder, revision=toy.COMMIT)
    return folder


def write(
    folder: Path, revision: str, instructions: tuple[str, ...] = (INSTRUCTION,), quantization: str = "none"
) -> None:
    record: dict[str, Any] = {
        "recipe": {"format": "toon", "quantization": quantization},
        "base": {"source": "hub", "revision": revision},
        "instructions": list(instructions),
        "fields": {instruction: ["chapter", "code"] for instruction in instructions},
    }
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")


def test_an_adapter_is_asked_as_it_was_trained(adapter: Path) -> None:
    how = local.asked(adapter, None)
    assert (how.instruction, how.fields, how.format, how.notes) == (INSTRUCTION, ("chapter", "code"), "toon", ())
    assert isinstance(local.answer(adapter, how, "Typhoid fever", max_new_tokens=4), str)


def test_other_weights_of_the_base_are_pointed_out(adapter: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_bytes((adapter / "adapter_config.json").read_bytes())
    write(tmp_path, revision="f" * 40)
    assert "may differ" in local.asked(tmp_path, None).notes[0]


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ("[]", "is no record"),
        ("{}", "has no field 'instructions'"),
        ('{"instructions": [], "fields": {}, "base": 3}', "base.so"),
    ],
)
def test_a_record_that_lacks_something_is_named_with_the_field(
    adapter: Path, tmp_path: Path, record: str, said: str
) -> None:
    (tmp_path / "adapter_config.json").write_bytes((adapter / "adapter_config.json").read_bytes())
    (tmp_path / "run.json").write_text(record)
    with pytest.raises(MedslmError, match=rf"run\.json .*{said}.*put back the file"):
        local.asked(tmp_path, None)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(MedslmError, match=r"adapter_config\.json has no field 'base_model_name_or_path'"):
        local.asked(tmp_path, None)


def test_that_it_was_trained_on_weights_in_four_bits_is_pointed_out(adapter: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_bytes((adapter / "adapter_config.json").read_bytes())
    write(tmp_path, revision=toy.COMMIT, quantization="nf4")
    (note,) = local.asked(tmp_path, None).notes
    assert note == "trained on weights in nf4, asked on full ones: compare with its 'full-precision' scores"


def test_without_a_record_the_plain_chat_format_is_used_and_said(adapter: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "adapter_config.json").write_bytes((adapter / "adapter_config.json").read_bytes())
    how = local.asked(folder, None)
    assert how.format == "chat"
    assert "no run.json" in how.notes[0]


def test_among_several_instructions_the_user_chooses(adapter: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_bytes((adapter / "adapter_config.json").read_bytes())
    write(tmp_path, toy.COMMIT, ("Summarise.", "Code."))
    with pytest.raises(MedslmError, match=r"--instruction: Summarise\. \| Code\."):
        local.asked(tmp_path, None)
    assert local.asked(tmp_path, "Code.").instruction == "Code."


def test_a_text_longer_than_the_model_reads_is_refused_and_not_cut(adapter: Path) -> None:
    with pytest.raises(MedslmError, match="but the model reads 1024"):
        local.answer(adapter, local.asked(adapter, None), "fever " * 2000, max_new_tokens=4)


def test_a_folder_without_an_adapter_is_said(tmp_path: Path) -> None:
    with pytest.raises(MedslmError, match=r"adapter_config\.json is not there"):
        local.asked(tmp_path, None)
