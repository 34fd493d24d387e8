"""What is wrong with a run is said before anything is sent."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from safetensors.numpy import save_file

from medslm.errors import MedslmError
from medslm.hub import bundle, client, push

FAKE = "hf_" + "Abc1234567" * 3  # shaped like a token, and none


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes as far as the Hub fails."""

    def reached(*_: object, **__: object) -> None:
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr(client, "persist", reached)
    monkeypatch.setattr(push, "get_token", lambda: "hf_test")


def refused(run: Path, repo_id: str = "alice/toy") -> str:
    """The sentence with which a push of this run ends."""
    with pytest.raises(MedslmError) as caught:
        push.push(run, repo_id)
    return str(caught.value)


def write_config(run: Path, base: str | None) -> None:
    """An adapter that says it was trained on `base`."""
    (run / "adapter" / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))


def test_a_run_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "there is no run at" in refused(tmp_path / "nothing")


def test_a_run_without_a_card_is_told_how_to_make_one(run: Path) -> None:
    (run / "README.md").unlink()
    assert "make card NAME=toy" in refused(run)


def test_pickled_weights_are_not_published(run: Path) -> None:
    (run / "adapter" / "adapter_model.safetensors").rename(run / "adapter" / "adapter_model.bin")
    assert "has no adapter_model.safetensors (pickled" in refused(run)


@pytest.mark.parametrize("base", ["/data/models/base", "./base", "~/base", "runs/base", "a/b/c", "", None])
def test_a_base_model_on_this_disk_is_refused(
    run: Path, base: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs" / "base").mkdir()
    monkeypatch.chdir(tmp_path)
    write_config(run, base)
    assert "not an id on the Hub" in refused(run)


@pytest.mark.parametrize("line", ["", "base_model: alice/other\n", "base_model:\n- alice/base\n- alice/other\n"])
def test_a_card_about_another_base_model_is_refused(run: Path, line: str) -> None:
    (run / "README.md").write_text(f"---\nlicense: mit\n{line}---\n# card\n")
    assert "was trained on alice/base" in refused(run)


def test_a_card_with_broken_metadata_is_refused(run: Path) -> None:
    (run / "README.md").write_text("---\nbase_model: [alice\n---\n")
    assert "not valid YAML" in refused(run)


@pytest.mark.parametrize("path", ["run.json", "README.md", ".eval_results/medqa.yaml", "adapter/tokenizer_config.json"])
def test_a_token_in_any_text_is_refused_and_not_repeated(run: Path, path: str) -> None:
    (run / path).write_text((run / path).read_text() + f"# {FAKE}\n")
    said = refused(run) if path != "adapter/adapter_config.json" else ""
    assert path.rpartition("/")[2] in said
    assert "looks like a Hub token" in said
    assert FAKE not in said


def cut(path: Path) -> None:
    """Lose the last bytes, as a full disk does."""
    path.write_bytes(path.read_bytes()[:-8])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def no_tensor(path: Path) -> None:
    save_file({}, path)


@pytest.mark.parametrize("damage", [cut, empty, no_tensor])
def test_broken_weights_are_refused(run: Path, damage: Callable[[Path], None]) -> None:
    damage(run / "adapter" / "adapter_model.safetensors")
    assert "adapter_model.safetensors" in refused(run)


def bfloat16(path: Path, values: list[int]) -> None:
    """A safetensors file of bfloat16 bits, which numpy cannot write."""
    data = struct.pack(f"<{len(values)}H", *values)
    tensor = {"dtype": "BF16", "shape": [len(values)], "data_offsets": [0, len(data)]}
    header = json.dumps({"w": tensor}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
@pytest.mark.parametrize("value", [numpy.nan, numpy.inf, -numpy.inf])
def test_weights_that_are_not_finite_are_refused(run: Path, kind: str, value: float) -> None:
    save_file({"good": numpy.ones(3, kind), "bad": numpy.array([1, value], kind)}, run / "adapter" / bundle.WEIGHTS)
    assert "NaN or infinity in 1 of 2 tensors (bad first)" in refused(run)


def test_bfloat16_weights_are_read_too(run: Path) -> None:
    path = run / "adapter" / bundle.WEIGHTS
    bfloat16(path, [0x3F80, 0x7F80])  # 1.0 and infinity
    assert "NaN or infinity" in refused(run)
    bfloat16(path, [0x3F80, 0x7F7F, 0x0001])  # 1.0, the largest and the smallest number
    assert bundle.collect(run).sha256


def test_a_push_without_a_token_says_how_to_log_in(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "get_token", lambda: None)
    assert "hf auth login" in refused(run)


@pytest.mark.parametrize("name", ["toy", "a/b/c", "alice/", "/toy", "alice/to y", "alice/to--y", "alice/toy.git", ""])
def test_a_name_that_is_not_org_name_is_refused(run: Path, name: str) -> None:
    assert "expected org/name" in refused(run, name)
