"""The memory plan: counted as the models really are, within the budget, and no slower on a larger card."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import bitsandbytes
import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from medslm.errors import MedslmError
from medslm.models import attention, fast, load, shapes, varlen
from medslm.models.base import resolve
from medslm.models.lora import Lora, loras
from medslm.models.passes import lay
from medslm.train import memory
from medslm.train.memory import card, choice, need, speed
from medslm.train.memory.need import GIB, Choice, Job

BASES = {
    "tinyllama-1.1b": "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
    "llama-3.2-1b": "meta-llama/Llama-3.2-1B-Instruct",
    "llama-3.2-3b": "meta-llama/Llama-3.2-3B-Instruct",
    "qwen3-4b": "Qwen/Qwen3-4B",
    "smollm2-135m": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "gemma-3-1b": "google/gemma-3-1b-it",
    "gpt2": "openai-community/gpt2",
}
R16, R24, R64 = (loras[f"all-linear-r{r}"] for r in (16, 24, 64))
SIZES = [int(preset.removesuffix("gb")) for preset in card.PRESETS]


@cache
def shape(name: str) -> memory.Shape:
    return memory.Shape.of(shapes.published(BASES[name]))


def lengths(longest: int) -> Any:
    """Lognormal around 420 tokens, one row as long as may be."""
    drawn = numpy.random.default_rng(0).lognormal(numpy.log(420), 0.75, 2000)
    return numpy.append(numpy.clip(drawn, 32, longest), longest).astype(numpy.int64)


def planned(name: str, gib: float, longest: int = 2048, lora: Lora = R16, **options: Any) -> memory.MemoryPlan:
    options = {"quantization": "nf4", "global_batch_size": 16} | options
    return memory.plan(shape(name), lora, lengths(longest), budget_bytes=int(gib * GIB), **options)


def refusal(*args: Any, **options: Any) -> str:
    with pytest.raises(MedslmError) as refused:
        planned(*args, **options)
    return str(refused.value)


@pytest.mark.parametrize("name", BASES)
def test_layers_are_counted_as_written_by_hand_where_they_are(name: str) -> None:
    assert shape(name).whole_layers == (name != "gpt2")


def test_layers_with_dropout_are_counted_as_they_are_trained_which_is_not_by_hand() -> None:
    assert not memory.Shape.of(shapes.published(BASES["smollm2-135m"], attention_dropout=0.1)).whole_layers


def toy_config(model_type: str, **more: Any) -> Any:
    sizes = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 320}
    sizes |= {} if model_type == "gpt2" else {"intermediate_size": 160, "num_key_value_heads": 2, "head_dim": 16}
    return CONFIG_MAPPING[model_type](**sizes, **more)


TOYS = {
    "llama": toy_config("llama", tie_word_embeddings=False),
    "llama, tied": toy_config("llama", tie_word_embeddings=True),
    "qwen2, with biases": toy_config("qwen2"),
    "qwen3": toy_config("qwen3"),
    "gemma": toy_config("gemma3_text"),
    "phi3": toy_config("phi3", pad_token_id=0),
    "smollm3": toy_config("smollm3", pad_token_id=0),
    "gpt2, transposed": toy_config("gpt2"),
}


@pytest.mark.parametrize("lora", [R16, loras["attention-r16"], Lora(4, 8, target_modules=r".*\.1\.mlp\..*_proj")])
@pytest.mark.parametrize("name", TOYS)
@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False:UserWarning")  # peft, on GPT-2's transposed layers
def test_an_adapter_is_counted_as_peft_makes_it(name: str, lora: Lora) -> None:
    if name.startswith("gpt2") and lora.target_modules != "all-linear":
        lora = dataclasses.replace(lora, target_modules=("c_proj",))
    if name == "phi3" and "q_proj" in lora.target_modules:
        lora = dataclasses.replace(lora, target_modules=("qkv_proj", "o_proj"))
    model = load.with_new_adapter(AutoModelForCausalLM.from_config(TOYS[name]), lora)
    counted = memory.Shape.of(TOYS[name])
    trainable = model.num_parameters(only_trainable=True)
    frozen = sum(parameter.numel() for parameter in model.parameters()) - trainable
    assert counted.trainable(lora) == trainable > 0
    assert counted.linear_parameters + counted.embedding_parameters + counted.other_parameters == frozen


def test_a_weight_in_nf4_takes_what_bitsandbytes_makes_of_it() -> None:
    weight = torch.randn(2048, 2048)
    packed, state = bitsandbytes.functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    kept = [packed, state.absmax, state.state2.absmax]
    assert sum(part.nbytes for part in kept) == pytest.approx(need.NF4_BYTES * weight.numel(), rel=0.001)


def tape_bytes(tape: Any) -> int:
    """What a layer has kept, beside the statistics of attention."""
    states = [low.states for low in tape.low if low is not None]
    kept = [getattr(tape, field.name) for field in dataclasses.fields(tape) if field.name not in ("heads", "low")]
    return sum(part.nbytes for part in (*kept, *tape.heads, *states) if part is not None)


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma", "phi3", "smollm3"])
def test_a_layer_keeps_between_its_passes_what_the_plan_counts(name: str, level: int) -> None:
    model = load.with_new_adapter(AutoModelForCausalLM.from_config(TOYS[name]), R16).train()
    attention.use(model)
    fast.quicken(model, [level] * 3)
    tokens = numpy.arange(40)
    loss = fast.total_loss(model, lay([(tokens, tokens)] * 2))
    node, tapes = loss.grad_fn, []
    while node is not None:
        tapes += [node.tape] if hasattr(node, "tape") else []
        node = next((before for before, _ in node.next_functions if before is not None), None)
    job = Job(memory.Shape.of(TOYS[name]), R16, "none", dtype_bytes=4)
    statistics = 4 * job.shape.heads if level < 3 else 0
    assert [tape_bytes(tape) for tape in tapes] == [80 * (job.saved[level] - statistics)] * 3


@pytest.mark.parametrize(
    ("name", "lora", "longest", "gib"),
    [("tinyllama-1.1b", R24, 448, 3.5), ("llama-3.2-3b", R16, 2048, 7.0), ("llama-3.2-3b", R64, 2048, 20.0)],
)
def test_the_published_recipes_fit_the_cards_they_name(name: str, lora: Lora, longest: int, gib: float) -> None:
    plan = planned(name, gib, longest, lora)
    assert plan.predicted <= 0.95 * gib * GIB
    assert plan.tokens_per_pass >= longest
    assert (plan.offload, plan.optim) == (False, "adamw_torch_fused")


@pytest.mark.parametrize("quantization", ["nf4", "none", "fp8"])
@pytest.mark.parametrize("name", BASES)
def test_a_larger_card_is_never_slower(name: str, quantization: str) -> None:
    seconds = []
    for size in SIZES:
        try:
            seconds.append(planned(name, size * 7 / 8, quantization=quantization).seconds)
        except MedslmError:
            assert not seconds, "a larger card is refused what a smaller one can do"
    assert seconds == sorted(seconds, reverse=True)
    assert len(seconds) >= 5


def rank(plan: memory.MemoryPlan) -> tuple[bool, bool, float]:
    return plan.optim == "paged_adamw_8bit", plan.offload, plan.seconds


@settings(deadline=None, max_examples=40)
@given(
    name=st.sampled_from(sorted(BASES)),
    quantization=st.sampled_from(["none", "nf4", "fp8"]),
    r=st.sampled_from([4, 16, 64]),
    longest=st.integers(64, 6000),
    rows=st.integers(1, 200),
    gib=st.floats(0.3, 90),
    more=st.floats(0, 20),
)
def test_a_plan_keeps_within_its_budget_and_more_memory_never_makes_it_worse(
    name: str, quantization: str, r: int, longest: int, rows: int, gib: float, more: float
) -> None:
    options = {"lora": Lora(r, 2 * r), "quantization": quantization, "global_batch_size": rows}
    try:
        plan = planned(name, gib, longest, **options)
    except MedslmError:
        return
    assert sum(plan.parts.values()) == plan.predicted <= plan.budget == int(gib * GIB)
    assert min(plan.parts.values()) >= 0
    assert plan.tokens_per_pass >= longest
    assert len(plan.levels) == shape(name).layers
    assert list(plan.levels) == sorted(plan.levels, reverse=True)  # layers near the input recompute more
    assert set(plan.levels) <= ({0, 1, 2, 3} if shape(name).whole_layers else {0, 3})
    assert rank(planned(name, gib + more, longest, **options)) <= rank(plan)


def test_the_peak_is_that_of_the_worst_moment_of_a_pass() -> None:
    job = Job(shape("llama-3.2-3b"), R16, "nf4")
    few, many = Choice(2048, (3,) * 28), Choice(32_768, (3,) * 28)
    assert need.peak(job, few)[0].name == "the output head"  # a slice of logits is as large for few tokens
    assert need.peak(job, many)[0].name == "the backward pass of layer 28 of 28"
    early, late = (3,) * 14 + (0,) * 14, (0,) * 14 + (3,) * 14
    sizes = [sum(need.peak(job, Choice(32_768, levels))[1].values()) for levels in (early, late)]
    assert sizes[0] < sizes[1]


def test_each_level_saves_less_and_takes_longer() -> None:
    for name in ("llama-3.2-3b", "qwen3-4b", "tinyllama-1.1b"):
        assert list(Job(shape(name), R16, "nf4").saved) == sorted(Job(shape(name), R16, "nf4").saved, reverse=True)
        assert list(speed.recomputation(shape(name))) == sorted(speed.recomputation(shape(name)))


def test_memory_to_spare_goes_into_longer_passes() -> None:
    tokens = [planned("llama-3.2-3b", gib, 2048, global_batch_size=64).tokens_per_pass for gib in (20, 44, 76)]
    assert tokens == sorted(set(tokens))
    assert planned("llama-3.2-3b", 76, 2048, global_batch_size=64).levels == (0,) * 28


def test_a_pass_is_no_longer_than_a_step() -> None:
    plan = planned("tinyllama-1.1b", 70, 448, global_batch_size=4)
    assert 2 * 448 < plan.tokens_per_pass <= 4 * 448
    assert plan.passes == 1
    assert planned("tinyllama-1.1b", 70, 448, global_batch_size=1).tokens_per_pass == 448
    assert planned("tinyllama-1.1b", 70, 2048, global_batch_size=10_000).tokens_per_pass <= choice.MOST_TOKENS


def test_the_host_holds_the_inputs_and_the_optimiser_is_in_8_bits_only_if_nothing_else_fits() -> None:
    gib, plan = 6.0, planned("llama-3.2-3b", 6.0, 2048, R64)
    seen = []
    while plan is not None:
        seen.append((plan.optim == "paged_adamw_8bit", plan.offload))
        gib -= 0.03
        try:
            plan = planned("llama-3.2-3b", gib, 2048, R64)
        except MedslmError:
            break
    assert seen == sorted(seen)
    assert set(seen) >= {(False, False), (False, True), (True, True)}


@pytest.mark.parametrize(
    ("wish", "levels", "offload"),
    [("none", 0, False), ("mlp", 1, False), ("attention-kept", 2, False), ("all", 3, False), ("offload", 3, True)],
)
def test_a_wish_is_followed(wish: str, levels: int, offload: bool) -> None:
    wishes = memory.Wishes(tokens_per_pass=3000, recompute=wish, optim="paged_adamw_8bit")
    plan = planned("llama-3.2-1b", 22, wishes=wishes)
    assert plan.levels == (levels,) * 16
    assert (plan.offload, plan.tokens_per_pass, plan.optim) == (offload, 3000, "paged_adamw_8bit")


def test_a_wish_that_cannot_be_met_is_refused_with_what_can() -> None:
    wishes = memory.Wishes(recompute="none", tokens_per_pass=4096)
    assert refusal("llama-3.2-3b", 7, wishes=wishes).startswith(
        "a row of 2048 tokens on a llama of 2.82 billion weights with tokens_per_pass=4096, recompute=none takes at least "
    )
    assert "; left at auto it takes " in refusal("llama-3.2-3b", 7, wishes=wishes)
    assert refusal("llama-3.2-3b", 7, wishes=memory.Wishes(tokens_per_pass=512)) == (
        "tokens_per_pass=512 is shorter than the longest row, which has 2048 tokens and is never cut; raise it, or lower max_length"
    )
    assert refusal("gpt2", 70, wishes=memory.Wishes(recompute="mlp")) == (
        "recompute=mlp needs layers written by hand, which gpt2 has not; choose none or all"
    )
    assert "choose auto, none, mlp" in refusal("gemma-3-1b", 70, wishes=memory.Wishes(recompute="some"))
    assert "choose auto, adamw_torch_fused" in refusal("gemma-3-1b", 70, wishes=memory.Wishes(optim="sgd"))


def test_what_does_not_fit_is_refused_with_the_least_that_does() -> None:
    told = refusal("llama-3.2-3b", 3.5, quantization="none", lora=R64)
    least = float(told.split("takes at least ")[1].split(" GiB")[0])
    assert planned("llama-3.2-3b", least, quantization="none", lora=R64).predicted <= least * GIB
    assert "and 3.50 GiB may be used; " in told
    assert refusal("llama-3.2-3b", least - 0.02, quantization="none", lora=R64)
    assert all(way in told for way in ("set quantization=nf4 (", "halve max_length (", "a smaller base", "of r=8 ("))
    nf4 = float(told.split("quantization=nf4 (")[1].split(" GiB")[0])
    assert planned("llama-3.2-3b", nf4, lora=R64).predicted <= nf4 * GIB
    smallest = refusal("llama-3.2-3b", 2, lora=Lora(8, 16))
    assert "nf4" not in smallest
    assert "r=8" not in smallest


def test_no_row_is_a_sentence() -> None:
    with pytest.raises(MedslmError, match="there is no row to train on"):
        memory.plan(shape("gpt2"), R16, numpy.array([], dtype=int), 8, "none", 8 * GIB)


def test_the_plan_is_told_as_a_table() -> None:
    plan = planned("tinyllama-1.1b", 7, 2048)
    lines = plan.lines()
    assert lines[0] == f"{plan.tokens_per_pass:,} tokens a pass, {plan.passes:.1f} passes a step; adamw_torch_fused"
    assert lines[1].startswith("recomputed: gate and up of the MLP in layers 1 to ")
    assert lines[1].endswith(" to 22")
    assert len({len(line) for line in lines[2:-1]}) == 1  # aligned
    assert lines[-2].split() == ["predicted", "peak", f"{plan.predicted / GIB:.2f}", "GiB"]
    assert lines[-1].endswith("; 7.00 GiB may be used")
    offloaded = planned("tinyllama-1.1b", 7, 2048, wishes=memory.Wishes(recompute="offload")).lines()
    assert offloaded[1] == "recomputed: everything in layers 1 to 22, whose inputs wait in the host's memory"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A card of 24 GiB of which 20 are free, as torch would tell of it."""
    said: dict[str, Any] = {"free": 20 * GIB, "total": 24 * GIB}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (said["free"], said["total"]))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda part: said.update(fraction=part))
    return said


def test_the_budget_is_what_is_free_or_what_a_smaller_card_would_have(gpu: dict[str, Any]) -> None:
    assert memory.budget("auto") == int(20 * GIB * 31 / 32)
    assert [memory.budget(preset) / GIB for preset in ("4gb", "8gb", "12gb", "16gb")] == [3.5, 7, 10.5, 14]
    gpu["free"] = 79 * GIB
    assert [memory.budget(preset) / GIB for preset in ("24gb", "48gb")] == [21, 44]
    assert memory.budget("80gb") == 76 * GIB
    gpu["free"] = 2 * GIB
    assert memory.budget("auto") == 2 * GIB - GIB // 4


def test_a_preset_beyond_what_is_free_is_refused(gpu: dict[str, Any]) -> None:
    with pytest.raises(MedslmError, match=r"gpu=24gb plans with 21\.0 GiB and 20\.0 GiB of this GPU are free"):
        memory.budget("24gb")
    with pytest.raises(MedslmError, match="gpu=6gb is no size of GPU memory; choose auto, 4gb"):
        memory.budget("6gb")


def test_without_a_gpu_there_is_no_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MedslmError, match="gpu=4gb asks for a CUDA GPU and there is none"):
        memory.budget("4gb")


def test_a_limit_is_a_part_of_the_whole_card(gpu: dict[str, Any]) -> None:
    memory.limit(6 * GIB)
    assert gpu["fraction"] == 0.25
    memory.limit(30 * GIB)
    assert gpu["fraction"] == 1.0


MEASURED = (  # GiB that torch's allocator held on an H100, torch 2.11, expandable segments: passes full, 3/4 of them with loss
    ("gemma-3-1b-it", "none", "all-linear-r16", 32_768, {3: 18, 2: 8}, 8.41),
    ("llama-3.2-1b-instruct", "nf4", "all-linear-r16", 4_096, {0: 16}, 4.98),
    ("llama-3.2-3b-instruct", "nf4", "attention-alpha16-dropout-r64", 8_192, {0: 28}, 16.90),
    ("medgemma-4b-it", "nf4", "all-linear-r16", 3_072, {0: 34}, 12.10),
    ("phi-4-mini-instruct", "nf4", "all-linear-r16", 3_072, {1: 2, 0: 30}, 9.49),
    ("qwen2-0.5b-instruct", "none", "attention-alpha16-r16", 16_384, {1: 20, 0: 4}, 5.79),
    ("qwen3-0.6b", "none", "all-linear-r16", 8_192, {3: 5, 2: 23}, 6.01),
    ("qwen3-1.7b", "none", "all-linear-r16", 16_384, {3: 26, 2: 2}, 7.03),
    ("smollm2-135m-instruct", "none", "all-linear-r16", 2_048, {0: 30}, 1.24),
    ("smollm3-3b", "nf4", "all-linear-r16", 11_264, {2: 34, 1: 2}, 8.93),
    ("tinyllama-1.1b-chat", "nf4", "all-linear-r24", 8_192, {3: 21, 2: 1}, 2.62),
    ("tinyllama-1.1b-chat", "nf4", "all-linear-r24", 3_584, {1: 19, 0: 3}, 2.95),
)


@pytest.mark.parametrize(("base", "quantization", "lora", "tokens", "levels", "gib"), MEASURED)
def test_a_full_pass_is_predicted_as_an_h100_measured_it(
    base: str, quantization: str, lora: str, tokens: int, levels: dict[int, int], gib: float
) -> None:
    job = Job(memory.Shape.of(shapes.published(resolve(base).hub_id)), loras[lora], quantization)
    spread = tuple(level for level, layers in levels.items() for _ in range(layers))
    assert sum(need.peak(job, Choice(tokens, spread))[1].values()) == pytest.approx(gib * GIB, rel=0.09)


def test_dropout_and_fp8_are_counted_where_the_mlp_has_them() -> None:
    plain, inner = R16, 8192

    def widths(lora: Lora, quantization: str = "none") -> float:
        job = Job(shape("llama-3.2-3b"), lora, quantization)
        return (job.layer_bytes_per_token - Job(job.shape, plain, "none").layer_bytes_per_token) / (2 * inner)

    dropped = dataclasses.replace(plain, lora_dropout=0.1)
    assert widths(plain, "fp8") == 1
    assert widths(dropped) == 2
    assert widths(dataclasses.replace(dropped, target_modules=("q_proj", "v_proj"))) == 0


def test_a_slow_card_had_rather_start_more_passes_than_compute_anything_twice() -> None:
    fast, slow = (planned("llama-3.2-3b", 8, arithmetic=arithmetic) for arithmetic in (784e12, 71e12))
    assert sum(slow.levels) < sum(fast.levels)
    assert slow.passes > fast.passes
    assert slow.seconds > 4 * fast.seconds


def test_the_arithmetic_of_a_device_is_measured_on_it() -> None:
    once, again = (card.arithmetic("cpu", width) for width in (256, 512))
    assert 1e8 < once < 1e14
    assert 1e8 < again < 1e14


def test_experts_are_counted_for_each_that_a_token_goes_through() -> None:
    """What autograd keeps of a layer of gpt-oss, but for attention, whose CPU path keeps more than a GPU's kernel."""
    config = toy_config("gpt_oss", num_local_experts=4, num_experts_per_tok=3)
    counted = memory.Shape.of(config)
    assert counted.experts == 3
    model = load.with_new_adapter(AutoModelForCausalLM.from_config(config), loras["attention-r16"]).train()
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    experts = model.base_model.model.model.layers[1].mlp.experts
    kept: dict[int, int] = {}

    def keep(saved: torch.Tensor) -> torch.Tensor:
        storage = saved.untyped_storage()
        kept.update({} if storage.data_ptr() in weights else {storage.data_ptr(): storage.nbytes()})
        return saved

    states, shares = torch.randn(40, 64, requires_grad=True), torch.rand(40, 3, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        experts(states, torch.randint(0, 4, (40, 3)), shares)
    one = need.EXPERT_MLP * counted.intermediate + need.EXPERT_HIDDEN * counted.hidden
    assert sum(kept.values()) == pytest.approx(40 * 3 * 4 * one, rel=0.05)
    dense = dataclasses.replace(counted, experts=0)
    more = [Job(shape, R16, "none").saved[0] for shape in (counted, dense)]
    assert more[0] - more[1] == 2 * (3 * one - need.COMPOSED_MLP * counted.intermediate)
    assert counted.multiplied > dense.multiplied


def test_scores_that_attention_keeps_are_counted_by_the_longest_row() -> None:
    config = toy_config("gpt_oss", num_local_experts=4, num_experts_per_tok=3)
    counted = memory.Shape.of(config)
    assert counted.scores
    assert not shape("llama-3.2-3b").scores
    short, long = (Job(counted, R16, "none", longest=longest) for longest in (100, 1000))
    assert long.saved[0] - short.saved[0] == 900 * need.SCORE_BYTES * counted.heads
    assert long.saved[3] == short.saved[3], "what is recomputed is not kept"
    sizes = [memory.least(Job(counted, R16, "none"), tokens) for tokens in (512, 1024, 2048)]
    assert sizes[2] - sizes[1] > 2 * (sizes[1] - sizes[0]), "a row of twice the tokens has four times the pairs"
    assert memory.least(Job(counted, R16, "none", longest=4096), 1024) == sizes[1]


def test_attention_with_sinks_keeps_a_share_of_each_pair_twice() -> None:
    query, key, value = (torch.randn(24, heads, 16, dtype=torch.bfloat16, requires_grad=True) for heads in (4, 2, 2))
    kept: dict[int, int] = {}

    def keep(saved: torch.Tensor) -> torch.Tensor:
        if saved.shape[-2:] in ((24, 24), (24, 25)) and saved.dtype != torch.bool:
            kept[saved.untyped_storage().data_ptr()] = saved.untyped_storage().nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        varlen.isolated(query, key, value, torch.tensor([0, 24], dtype=torch.int32), 24, 0.25, sinks=torch.zeros(4))
    assert sum(kept.values()) == pytest.approx(need.SCORE_BYTES * 4 * 24 * 24, rel=0.05)
