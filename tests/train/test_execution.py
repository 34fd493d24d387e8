"""What this machine or this base cannot do is said before a weight is loaded; each sentence is raised once."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

import toy
from medslm.errors import MedslmError
from medslm.models import load
from medslm.recipe import Sft
from medslm.train import execution, memory, planning, supervised
from medslm.train.execution import CPU_TOKENS, choose, require

pytestmark = pytest.mark.usefixtures("toy_base")

RECIPE = Sft(
    name="toy-executed",
    base=toy.HUB_ID,
    lora="all-linear-r16",
    mixture={"icd10cm": 1.0},
    suite="icd10cm",
    dtype="float32",
    max_length=640,
)
TRAIN, VALIDATION = numpy.array([300, 30, 7]), numpy.array([40, 400])


def chosen(begun: str | None = None, **how: Any) -> execution.Execution:
    return choose(dataclasses.replace(RECIPE, **how), TRAIN, VALIDATION, 16, begun)


def required(**how: Any) -> None:
    require(dataclasses.replace(RECIPE, **how))


def gpt2(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of the toy's configuration one of an architecture without hand-written layers."""
    from transformers import GPT2Config

    small = GPT2Config(n_embd=8, n_layer=2, n_head=2, vocab_size=9, n_positions=1024)
    monkeypatch.setattr(execution.load, "config", lambda base: small)


def card(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """A GPU of which so many bytes are free, as far as planning asks."""
    monkeypatch.setattr(load, "device", lambda: "cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free, free))
    monkeypatch.setattr(memory, "arithmetic", lambda: 784e12)


def test_an_example_longer_than_the_base_reads_is_refused() -> None:
    said = r"the longest example has 1,025 tokens and toy/tiny-chat reads 1,024; set max_length=1024, or choose a base"
    with pytest.raises(MedslmError, match=said):
        choose(RECIPE, numpy.array([1025]), VALIDATION, 16)
    assert choose(RECIPE, numpy.array([1024]), VALIDATION, 16).longest == 1024


def test_a_pass_without_room_for_the_longest_example_is_refused_whether_it_is_learnt_or_judged() -> None:
    said = r"tokens_per_pass=399 has no room for the longest example, of 400 tokens.*make it 400 or more.*which is 640"
    with pytest.raises(MedslmError, match=said):
        chosen(tokens_per_pass=399)
    assert chosen(tokens_per_pass=400).tokens_per_pass == 400


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"gpu": "4gb"}, "gpu=4gb needs a CUDA GPU and there is none; leave gpu at auto on a CPU"),
        ({"optim": "paged_adamw_8bit"}, "optim=paged_adamw_8bit needs a CUDA GPU and there is none; leave optim"),
        ({"recompute": "offload"}, "recompute=offload needs a CUDA GPU and there is none; leave recompute"),
        (
            {"quantization": "fp8"},
            "quantization=fp8 needs a GPU that multiplies 8-bit floating point .* here is no GPU",
        ),
    ],
)
def test_what_needs_a_gpu_is_refused_on_a_cpu(how: dict[str, Any], said: str) -> None:
    with pytest.raises(MedslmError, match=said):
        required(**how)


@pytest.mark.parametrize(("recompute", "level"), [("mlp", 1), ("attention-kept", 2)])
def test_parts_of_a_layer_are_recomputed_only_where_layers_are_written_by_hand(
    recompute: str, level: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    required(recompute=recompute)
    assert chosen(recompute=recompute).levels == (level, level)
    gpt2(monkeypatch)
    with pytest.raises(MedslmError, match=f"recompute={recompute} needs layers written by hand, which gpt2 has not"):
        required(recompute=recompute)
    required(recompute="all")
    assert chosen(recompute="all").levels == (3, 3)


def test_a_run_goes_on_with_the_optimiser_it_was_begun_with() -> None:
    assert chosen(begun="adamw_torch_fused").optim == "adamw_torch_fused"
    assert chosen(begun="adamw_torch_fused", optim="adamw_torch_fused").optim == "adamw_torch_fused"
    said = (
        "begun with optim=adamw_torch_fused and cannot go on with paged_adamw_8bit; leave optim at auto, or .* --name"
    )
    with pytest.raises(MedslmError, match=said):
        chosen(begun="adamw_torch_fused", optim="paged_adamw_8bit")


def test_a_run_begun_on_a_gpu_with_an_optimiser_in_8_bits_cannot_go_on_on_a_cpu() -> None:
    with pytest.raises(MedslmError, match=r"begun with optim=paged_adamw_8bit, which needs a CUDA GPU.*--name"):
        chosen(begun="paged_adamw_8bit")


def test_a_card_without_room_for_the_longest_example_is_refused_with_what_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card(monkeypatch, free=2**29)
    monkeypatch.setattr(memory, "budget", lambda gpu: 2**16)
    with pytest.raises(MedslmError, match=r"takes at least \d+\.\d+ GiB to train, and 0\.01 GiB may be used"):
        chosen()


def test_a_preset_that_is_larger_than_the_card_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    card(monkeypatch, free=6 * 2**30)
    with pytest.raises(MedslmError, match=r"gpu=8gb plans with 7\.0 GiB and 6\.0 GiB of this GPU are free"):
        required(gpu="8gb")
    required(gpu="4gb")


def test_quantising_to_4_bits_without_its_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MedslmError, match="quantization=nf4 needs bitsandbytes"):
        required(quantization="nf4")


def test_only_a_preset_of_a_card_limits_what_the_run_may_allocate(monkeypatch: pytest.MonkeyPatch) -> None:
    card(monkeypatch, free=16 * 2**30)
    limits: list[float] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", limits.append)
    free = chosen()
    assert limits == []
    assert free.memory is not None
    assert free.memory.budget == 15.5 * 2**30
    assert chosen(gpu="4gb").memory is not None
    assert limits == [3.5 / 16]


def test_without_packing_a_pass_is_one_example_on_any_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(packing=False).tokens_per_pass == 0
    assert chosen(packing=False).lines == ["one example a pass"]
    card(monkeypatch, free=16 * 2**30)
    assert chosen(packing=False).tokens_per_pass == 0


def test_on_a_cpu_a_pass_has_room_for_the_longest_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "CPU_TOKENS", 1000)
    assert choose(RECIPE, TRAIN, numpy.array([1001]), 16).tokens_per_pass == 1001
    monkeypatch.undo()
    assert choose(RECIPE, TRAIN, VALIDATION, 16).tokens_per_pass == CPU_TOKENS
    assert choose(RECIPE, TRAIN, VALIDATION, 16).longest == 400


def test_what_cannot_be_done_is_said_before_any_row_is_made_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plan(*_: Any) -> None:
        raise AssertionError("rows were asked for")

    monkeypatch.setattr(planning, "plan", plan)
    for how in ({"gpu": "4gb"}, {"quantization": "fp8"}):
        with pytest.raises(MedslmError, match=next(iter(how))):
            supervised.train(dataclasses.replace(RECIPE, **how), tmp_path / "run")
    assert not (tmp_path / "run").exists()
