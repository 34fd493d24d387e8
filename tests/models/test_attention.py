"""Packed documents do not see each other: shown for each architecture, and shown to be noticed where they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AttentionInterface

from medslm.errors import MedslmError
from medslm.models import attention, load, varlen
from medslm.models.base import bases
from medslm.models.lora import Lora
from medslm.models.passes import lay
from models import toy_bases

LENGTHS = (17, 2, 1, 19, 6)  # tokens; the long ones are longer than a window, and no tile of a kernel
Leak = Callable[..., torch.Tensor]


def documents(seed: int = 1) -> list[torch.Tensor]:
    tokens = torch.randint(toy_bases.VOCABULARY, (sum(LENGTHS),), generator=torch.Generator().manual_seed(seed))
    return list(tokens.split(LENGTHS))


def packed(model: Any, parts: list[torch.Tensor]) -> list[torch.Tensor]:
    """The logits (L, V) of each document, all in one pass."""
    p = lay([(part.numpy(), part.numpy()) for part in parts])
    logits: torch.Tensor = model(input_ids=p.input_ids, **attention.arguments(p)).logits[0]
    return list(logits.split([len(part) for part in parts]))


def loss_of(logits: list[torch.Tensor], parts: list[torch.Tensor]) -> torch.Tensor:
    losses = [cross_entropy(rows[:-1], part[1:], reduction="sum") for rows, part in zip(logits, parts)]
    return torch.stack(losses).sum()


@pytest.fixture(params=sorted(toy_bases.OWN))
def model_type(request: pytest.FixtureRequest) -> str:
    """Each architecture."""
    found: str = request.param
    return found


@pytest.fixture
def model(model_type: str) -> Any:
    """Of each architecture, with packed attention."""
    built = toy_bases.build(model_type)
    attention.use(built)
    return built


def test_every_base_is_of_an_architecture_that_is_tested_here() -> None:
    assert {base.hub_id for base in bases.values()} == toy_bases.ARCHITECTURE.keys()
    assert set(toy_bases.ARCHITECTURE.values()) <= toy_bases.OWN.keys()
    assert set(attention.PROVEN) == toy_bases.OWN.keys()


def test_changing_one_document_leaves_every_bit_of_the_others_logits(model: Any) -> None:
    parts = documents()
    before = packed(model, parts)
    for changed, part in enumerate(parts):
        after = packed(model, [*parts[:changed], (part + 1) % toy_bases.VOCABULARY, *parts[changed + 1 :]])
        same = [torch.equal(one, other) for one, other in zip(before, after)]
        assert same == [number != changed for number in range(len(parts))]


def test_packed_loss_and_gradients_are_those_of_each_document_alone(model: Any, model_type: str) -> None:
    alone = toy_bases.build(model_type)  # with the model's own attention
    parts = documents()
    expected = loss_of([alone(input_ids=part[None], use_cache=False).logits[0] for part in parts], parts)
    expected.backward()
    found = loss_of(packed(model, parts), parts)
    found.backward()
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    for (name, one), other in zip(model.named_parameters(), alone.parameters(), strict=True):
        scale = other.grad.abs().max().clamp(min=1e-3)
        assert (one.grad - other.grad).abs().max() <= 2e-5 * scale, name


def test_a_pass_is_proven_on_the_model_itself(model: Any) -> None:
    attention.prove(model)


def test_the_proof_leaves_modes_gradients_and_random_state_as_they_were() -> None:
    model = toy_bases.build("gpt2", attn_pdrop=0.1)
    attention.use(model)
    model.transformer.h[0].eval()
    modes = {name: module.training for name, module in model.named_modules()}
    torch.manual_seed(7)
    state = torch.get_rng_state()
    attention.prove(model)
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def all_earlier_documents(q: Any, k: Any, v: Any, boundaries: Any, longest: int, scale: float, *rest: Any) -> Any:
    return varlen.isolated(q, k, v, torch.tensor([0, len(q)], dtype=torch.int32), len(q), scale, *rest)


def later_documents(q: Any, k: Any, v: Any, *rest: Any) -> Any:
    return torch.flip(all_earlier_documents(*(torch.flip(part, (0,)) for part in (q, k, v)), *rest), (0,))


def one_token_of_its_neighbour(q: Any, k: Any, v: Any, boundaries: Any, *rest: Any) -> Any:
    moved = boundaries.clone()
    moved[1:-1] -= 1
    return varlen.isolated(q, k, v, moved, *rest)


@pytest.mark.parametrize("leak", [all_earlier_documents, later_documents, one_token_of_its_neighbour])
@pytest.mark.parametrize("experts_per_token", [2, 4])
def test_attention_that_leaks_is_caught(leak: Leak, experts_per_token: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for model in (toy_bases.build("llama"), toy_bases.build("gpt_oss", num_experts_per_tok=experts_per_token)):
        attention.use(model)
        attention.prove(model)
        with monkeypatch.context() as patch:
            patch.setattr(attention, "isolated", leak)
            with pytest.raises(MedslmError, match=r"see each other.*; set packing=False"):
                attention.prove(model)


def test_positions_that_run_on_across_documents_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    model = toy_bases.build("gpt2")
    attention.use(model)
    attention.prove(model)
    forward = model.transformer.forward
    monkeypatch.setattr(model.transformer, "forward", lambda position_ids, **others: forward(**others))
    with pytest.raises(MedslmError, match=r"gpt2 model is not computed as it is alone.*; set packing=False"):
        attention.prove(model)


def test_states_that_are_not_finite_prove_nothing() -> None:
    model = toy_bases.build("llama")
    attention.use(model)
    with torch.no_grad():
        model.model.norm.weight.fill_(torch.inf)
    with pytest.raises(MedslmError, match=r"llama model's hidden states are not finite in torch.float32"):
        attention.prove(model)


def test_the_base_of_an_adapter_is_switched_and_proven() -> None:
    model = load.with_new_adapter(toy_bases.build("qwen3"), Lora(r=2, lora_alpha=4))
    attention.use(model)
    attention.prove(model)
    assert attention.body(model) is model.get_base_model().model
    assert attention.body(attention.body(model)) is attention.body(model)


def test_dropout_of_the_attention_goes_on_within_each_document() -> None:
    model = toy_bases.build("gpt2", attn_pdrop=0.5)
    attention.use(model)
    parts = documents()
    runs = []
    for shift in (0, 1):
        torch.manual_seed(0)
        runs.append(packed(model, [(parts[0] + shift) % toy_bases.VOCABULARY, *parts[1:]]))
    assert all(torch.equal(one, other) for one, other in zip(runs[0][1:], runs[1][1:]))
    assert not torch.allclose(runs[0][1], packed(model.eval(), parts)[1], atol=1e-3)


@pytest.mark.parametrize(
    ("model_type", "changes", "why"),
    [
        ("gemma2", {"head_dim": 16}, "it caps its attention scores"),
        ("gemma3_text", {"use_bidirectional_attention": True}, "its tokens also see those that follow"),
        ("bloom", {}, "packed and unpacked results were compared for gemma, .* smollm3 only"),
        ("mamba", {}, "packed and unpacked results were compared for"),
        ("qwen3_next", {"head_dim": 16}, "packed and unpacked results were compared for"),
    ],
)
def test_an_architecture_that_cannot_be_packed_is_refused(model_type: str, changes: dict[str, Any], why: str) -> None:
    model = toy_bases.build(model_type, **changes)
    before = model.config._attn_implementation
    with pytest.raises(MedslmError, match=f"cannot be packed for a {model_type} model: {why}.*; set packing=False"):
        attention.use(model)
    assert model.config._attn_implementation == before


def test_a_model_that_keeps_its_own_attention_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = toy_bases.build("llama")
    monkeypatch.setattr(model, "set_attn_implementation", lambda name: None)
    with pytest.raises(MedslmError, match=r"LlamaForCausalLM keeps its own attention, eager, .*; set packing=False"):
        attention.use(model)


def test_a_long_document_that_would_turn_all_others_stops_the_run() -> None:
    model = toy_bases.build("phi3")
    too_long = r"a document of 65 tokens changes the positions of all others.* set max_length=64 or packing=False"
    with pytest.raises(MedslmError, match=too_long):
        attention.use(model, longest=65)
    attention.use(model, longest=64)
    tokens = torch.arange(65) % toy_bases.VOCABULARY
    packed(model, [tokens])  # nothing beside it
    with pytest.raises(MedslmError, match=too_long):
        packed(model, [tokens, tokens[:5]])


def call(module: Any = None, rows: int = 1, keys: int = 4, **options: Any) -> Any:
    """`attend` over two documents of two tokens, with what is named changed."""
    shape = {"cu_seq_lens_q": torch.tensor([0, 2, 4], dtype=torch.int32), "max_length_q": 2, "attention_mask": None}
    query, key = torch.randn(rows, 2, 4, 8), torch.randn(rows, 2, keys, 8)
    return attention.attend(module or torch.nn.Module(), query, key, key, **shape | options)


def test_attention_gives_its_heads_in_the_order_that_transformers_expects() -> None:
    out, weights = call()
    assert out.shape == (1, 4, 2, 8) and weights is None


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"cu_seq_lens_q": None}, "without the documents' boundaries"),
        ({"max_length_q": None}, "without the documents' boundaries"),
        ({"attention_mask": torch.ones(1, 1, 4, 4)}, "without padding, mask or cache"),
        ({"rows": 2}, "one row of whole documents"),
        ({"keys": 5}, "without padding, mask or cache"),
        ({"softcap": 50.0}, "caps its attention scores"),
        ({"is_causal": False}, "lets tokens see those that follow"),
    ],
)
def test_what_would_break_isolation_stops_the_run(options: dict[str, Any], why: str) -> None:
    with pytest.raises(MedslmError, match=why):
        call(**options)


def test_a_module_that_is_not_causal_stops_the_run() -> None:
    module = torch.nn.Module()
    module.is_causal = False
    with pytest.raises(MedslmError, match="lets tokens see those that follow; set packing=False"):
        call(module)


def test_a_model_called_without_boundaries_stops() -> None:
    model = toy_bases.build("llama")
    attention.use(model)
    with pytest.raises(MedslmError, match=r"call the body with attention\.arguments\(p\)"):
        model(input_ids=documents()[0][None])


def test_registering_twice_changes_nothing() -> None:
    attention.register()
    attention.register()
    assert AttentionInterface()[attention.NAME] is attention.attend


def test_a_model_whose_tokens_see_those_that_follow_is_caught_where_nothing_is_packed() -> None:
    attention.prove_order(toy_bases.build("llama"))
    with pytest.raises(MedslmError, match="tokens of this bert model see those that follow"):
        attention.prove_order(toy_bases.build("bert", is_decoder=False))


def test_a_record_tells_how_documents_are_attended_to() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        assert attention.way(toy_bases.build("llama"), dtype) == "SDPA, document by document"  # no kernel on a CPU
    assert attention.way(toy_bases.build("gpt_oss"), torch.bfloat16) == "written out, document by document"


def test_a_record_tells_of_the_kernel_where_it_takes_these_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        attention, "has_kernel", lambda query: query.dtype == torch.bfloat16 and query.shape[-1] % 8 == 0
    )
    assert attention.way(toy_bases.build("llama"), torch.bfloat16) == "torch varlen"
    assert attention.way(toy_bases.build("llama"), torch.float32) == "SDPA, document by document"


def test_under_autocast_attention_is_given_numbers_that_kernels_take(monkeypatch: pytest.MonkeyPatch) -> None:
    model = toy_bases.build("llama")
    attention.use(model)
    parts = documents()
    seen: set[torch.dtype] = set()

    def watched(q: Any, k: Any, v: Any, *rest: Any) -> Any:
        seen.update((q.dtype, k.dtype, v.dtype))
        return varlen.isolated(q, k, v, *rest)

    monkeypatch.setattr(attention, "isolated", watched)
    with torch.autocast("cpu", torch.bfloat16):
        found = packed(model, parts)
        assert seen == {torch.bfloat16}
        monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)  # SDPA rounds them all the same
        expected = packed(model, parts)
    assert seen == {torch.bfloat16, torch.float32}
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
