"""The hand-written layers and linears against transformers' and PEFT's own, in float32: loss and every gradient."""

from __future__ import annotations

import copy
from pathlib import Path

import peft
import pytest
import torch
import transformers

from medslm.errors import MedslmError
from medslm.models import attention, fast, load
from medslm.models.base import Base
from medslm.models.fast import elementwise, frozen
from medslm.models.fast.layer import Layer
from medslm.models.passes import lay
from models.fast import plain

GEMMA = "gemma3, windows in two layers of three"


@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("name", plain.FAMILY)
def test_a_hand_written_layer_has_the_loss_and_gradients_of_the_plain_one(name: str, level: int) -> None:
    model = plain.adapted(plain.FAMILY[name])
    quick = plain.quick(model, level)
    assert sum(isinstance(part.forward, Layer) for part in quick.modules()) == 3
    plain.agree(model, quick, plain.packed())


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("name", plain.OTHERS)
def test_other_architectures_have_them_too(name: str, level: int) -> None:
    model = plain.adapted(plain.OTHERS[name])
    plain.agree(model, plain.quick(model, level), plain.packed())


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("qwen3", ["q_proj", "v_proj"]),
        ("qwen3", ["gate_proj", "o_proj"]),
        ("qwen3", ["down_proj"]),
        ("phi3", ["qkv_proj"]),
        ("phi3", ["gate_up_proj", "o_proj"]),
        (GEMMA, ["k_proj", "up_proj"]),
        (GEMMA, ["down_proj"]),
    ],
)
def test_linears_without_an_adapter_stay_as_they_are(name: str, targets: list[str]) -> None:
    model = plain.adapted(plain.FAMILY[name], targets)
    plain.agree(model, plain.quick(model, 3), plain.packed())


def test_the_200_steps_of_a_curve_are_those_of_the_plain_path() -> None:
    """The same documents and optimiser; in float32 the two differ by rounding only."""
    model = plain.adapted(plain.FAMILY["llama"])
    curves = [plain.curve(one, 200) for one in (model, plain.quick(model, 1))]
    assert curves[0][-1] < 0.9 * curves[0][0]
    torch.testing.assert_close(curves[1], curves[0], rtol=5e-3, atol=0)


def test_what_a_fused_optimizer_has_changed_is_learnt() -> None:
    """It changes matrices without counting it as a change, as autograd does."""
    curves = [
        plain.curve(plain.quick(plain.adapted(plain.FAMILY["llama"])), 10, fused=fused) for fused in (False, True)
    ]
    torch.testing.assert_close(curves[1], curves[0], rtol=1e-4, atol=0)


@pytest.mark.parametrize("name", ["llama", "qwen3", "phi3", GEMMA])
def test_dropout_is_the_same_whatever_is_recomputed(name: str) -> None:
    model = plain.adapted(plain.FAMILY[name], dropout=0.3)
    quick, one = plain.quick(model), plain.packed()
    without = float(fast.total_loss(quick.eval(), one).detach())
    found = []
    for level in range(4):
        fast.recompute(quick.train(), [level] * 3)
        torch.manual_seed(3)
        loss = fast.total_loss(quick, one)
        found.append((loss.detach(), plain.gradients(quick, loss)))
        assert abs(float(loss.detach()) - without) > 1e-3
    for loss, gradients in found[1:]:
        torch.testing.assert_close(loss, found[0][0])
        for matrix, gradient in gradients.items():
            torch.testing.assert_close(gradient, found[0][1][matrix], msg=matrix)


def test_dropout_has_the_gradient_of_what_it_lets_through() -> None:
    """A step along the gradient lowers the loss under the same draw by what the gradient says."""
    quick, one = plain.quick(plain.adapted(plain.FAMILY["llama"], dropout=0.3)), plain.packed()
    torch.manual_seed(3)
    gradients = plain.gradients(quick, fast.total_loss(quick, one))
    length = sum(float(gradient.square().sum()) for gradient in gradients.values())
    losses = []
    for step in (1e-4, -2e-4):
        with torch.no_grad():
            for name, parameter in quick.named_parameters():
                if name in gradients:
                    parameter.add_(gradients[name], alpha=step / length**0.5)
        torch.manual_seed(3)
        losses.append(float(fast.total_loss(quick, one).detach().double()))
    assert (losses[0] - losses[1]) / 2e-4 == pytest.approx(length**0.5, rel=0.05)


def test_other_documents_of_a_pass_are_bit_equal_when_one_changes() -> None:
    quick = plain.quick(plain.adapted(plain.FAMILY["llama"])).eval()
    body = attention.body(quick)
    with torch.no_grad():
        one = plain.packed((7, 12, 3))
        first = body(input_ids=one.input_ids, **attention.arguments(one)).last_hidden_state[0]
        changed = one.input_ids.clone()
        changed[0, 7:19] = (changed[0, 7:19] + 1) % 97
        second = body(input_ids=changed, **attention.arguments(one)).last_hidden_state[0]
    assert torch.equal(first[:7], second[:7]) and torch.equal(first[19:], second[19:])
    assert not torch.equal(first[7:19], second[7:19])


def test_a_quickened_model_generates_as_before() -> None:
    model = plain.adapted(plain.FAMILY["qwen3"]).eval()
    quick, ids = plain.quick(model).eval(), torch.tensor([[5, 6, 7, 8]])
    quick.get_base_model().set_attn_implementation("sdpa")
    wanted, found = (one.generate(input_ids=ids, max_new_tokens=8, do_sample=False) for one in (model, quick))
    assert wanted.tolist() == found.tolist()


def test_plain_peft_loads_the_adapter_that_was_trained(tmp_path: Path) -> None:
    model = plain.adapted(plain.FAMILY["llama"])
    quick = plain.quick(model)
    plain.curve(quick, 3)
    quick.save_pretrained(str(tmp_path))
    again = peft.PeftModel.from_pretrained(plain.base(plain.FAMILY["llama"]), str(tmp_path)).eval()
    one = plain.packed()
    torch.testing.assert_close(plain.alone(again, one), fast.total_loss(quick.eval(), one), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("level", [0, 3])
def test_weights_in_four_bits_have_the_gradients_that_peft_gives_them(toy_base: Base, level: int) -> None:
    model = load.with_new_adapter(load.model(toy_base, "nf4", "float32"), load.Lora(r=4, lora_alpha=8)).train()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    one = lay([(tokens % 90, tokens % 90) for tokens, _ in plain.documents((9, 14))])
    expected = plain.alone(model, one)
    wanted = plain.gradients(model, expected)
    attention.use(model)
    fast.quicken(model, [level] * model.config.num_hidden_layers)
    loss = fast.total_loss(model, one)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    for name, gradient in plain.gradients(model, loss).items():
        torch.testing.assert_close(
            gradient, wanted[name], rtol=1e-4, atol=1e-4 * float(wanted[name].abs().max()), msg=name
        )


def test_an_eight_bit_base_has_nearly_the_loss_and_gradients_of_the_full_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers of e4m3, multiplied in float32: what a GPU rounds, and nothing of its speed."""
    monkeypatch.setattr("medslm.models.fast.paths.require_fp8", lambda dtype: None)
    model, one = plain.adapted(plain.FAMILY["qwen2"]), plain.packed((20, 31, 13))
    rough = plain.quick(model, 1, fp8=True)
    expected, loss = plain.alone(model, one), fast.total_loss(rough, one)
    told, true = float(loss.detach()), float(expected.detach())
    assert told == pytest.approx(true, rel=0.01) and told != true
    wanted, found = plain.gradients(model, expected), plain.gradients(rough, loss)
    for name, gradient in wanted.items():
        assert torch.nn.functional.cosine_similarity(gradient.flatten(), found[name].flatten(), 0) > 0.95, name
    rough.get_base_model().set_attn_implementation("sdpa")
    with torch.no_grad():  # and outside of training
        ids = one.input_ids[:, :20]
        near = torch.nn.functional.cosine_similarity(rough(input_ids=ids).logits, model(input_ids=ids).logits, -1)
    assert float(near.min()) > 0.95


@pytest.mark.parametrize("level", [0, 3])
@pytest.mark.parametrize("name", plain.FAMILY)
def test_rows_in_eight_bits_are_those_of_what_is_multiplied(
    name: str, level: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a quantisation that rounds nothing, the 8-bit path gives what the full one gives."""
    monkeypatch.setattr("medslm.models.fast.paths.require_fp8", lambda dtype: None)
    for user in (elementwise, frozen):
        monkeypatch.setattr(user, "quantize", lambda rows: (rows.clone() / 2, torch.full((len(rows), 1), 2.0)))
    model = plain.adapted(plain.FAMILY[name])
    plain.agree(model, plain.quick(model, level, fp8=True), plain.packed())


def test_eight_bits_are_refused_where_no_gpu_multiplies_them() -> None:
    with pytest.raises(
        MedslmError, match=r"quantization=fp8 needs a GPU .* and here is no GPU; use quantization=nf4 or none"
    ):
        fast.quicken(plain.adapted(plain.FAMILY["llama"]), fp8=True)


def test_a_tape_is_used_up() -> None:
    quick = plain.quick(plain.adapted(plain.FAMILY["llama"]))
    loss = fast.total_loss(quick, plain.packed())
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="retain_graph is not supported"):
        loss.backward()


def test_as_many_levels_as_layers_are_wanted() -> None:
    with pytest.raises(ValueError, match="2 levels for 3 layers"):
        fast.quicken(plain.adapted(plain.FAMILY["llama"]), [0, 1])


@pytest.mark.parametrize(
    ("config", "number"),
    [
        (transformers.LlamaConfig(**plain.SHAPE, attention_dropout=0.1), 21),
        (transformers.Phi3Config(**plain.SHAPE, pad_token_id=0, resid_pdrop=0.1), 12),
        (transformers.LlamaConfig(**plain.SHAPE, hidden_act="gelu"), 21),
    ],
    ids=["dropout in attention", "dropout before a sum", "another activation"],
)
def test_what_the_hand_written_layer_does_not_compute_goes_another_way(
    config: transformers.PreTrainedConfig, number: int
) -> None:
    model = plain.adapted(config)
    quick = plain.quick(model).eval()
    assert not any(isinstance(part.forward, Layer) for part in quick.modules())
    assert fast.quicken(plain.adapted(config))["lora"] == f"{number} linears, one function each"
    plain.agree(model.eval(), quick, plain.packed())


def test_adapters_that_also_scale_rows_are_left_to_peft() -> None:
    """DoRA in a layer written by hand would be trained as plain LoRA, and saved as DoRA."""
    model = plain.adapted(plain.FAMILY["llama"], dora=True)
    quick = copy.deepcopy(model)
    attention.use(quick)
    assert fast.quicken(quick)["lora"] == "0 linears, one function each"
    plain.agree(model, quick, plain.packed())
