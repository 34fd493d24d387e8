"""The engines by name, the one on this package's decoder, and what is said where another is not installed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

import toy
from medslm.errors import MedslmError
from medslm.infer import local
from medslm.infer.engine import Limits, Wanted
from medslm.infer.engines import engines, texts, vllm
from medslm.infer.engines.transformers import Transformers
from medslm.models import load
from medslm.models.base import Base
from medslm.models.lora import loras

PROMPTS = [
    f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
    for text in ("fever", "Typhoid fever with heart involvement", "a")
]
LIMITS = Limits(12)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory, toy_base: Base) -> Path:
    """An adapter that changes what is said."""
    folder = tmp_path_factory.mktemp("adapter")
    torch.manual_seed(0)
    model = load.with_new_adapter(load.model(toy_base, wanted="float32"), loras["all-linear-r16"])
    model.peft_config["default"].base_model_name_or_path = toy.HUB_ID
    for name, held in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(held, std=0.3)
    model.save_pretrained(str(folder), save_embedding_layers=False)
    return folder


@pytest.fixture(scope="module")
def running(adapter: Path, toy_base: Base) -> Iterator[Transformers]:
    """The engine `transformers`, in float32, where a batch of one and of several multiply alike."""
    with closing(engines["transformers"](Wanted(toy_base, "chat", adapter, dtype="float32", rows=2))) as engine:
        assert isinstance(engine, Transformers)
        yield engine


def directly(engine: Transformers, prompt: str, continuation: str) -> float:
    """The log-probability of a continuation, token by token, each from a whole pass of its own."""
    ids, total = engine.renderer.ids(prompt), 0.0
    for token in engine.renderer.ids(continuation):
        with torch.no_grad():
            logits = engine.model(input_ids=torch.tensor([ids])).logits[0, -1]
        total += float(logits.double().log_softmax(-1)[token])
        ids = [*ids, token]
    return total


def test_every_engine_has_its_name() -> None:
    assert list(engines) == ["transformers", "unsloth", "vllm", "openai"]
    with pytest.raises(MedslmError, match="no engine is called 'vlm'; did you mean 'vllm'"):
        engines["vlm"]


def test_what_is_streamed_is_what_is_generated(running: Transformers) -> None:
    for prompt, reply in zip(PROMPTS, running.generate(PROMPTS, LIMITS)):
        assert running.renderer.reply("".join(running.stream(prompt, LIMITS))) == reply.text
        assert reply.tokens is not None and 0 < reply.tokens <= 12


def test_a_stream_leaves_nothing_switched_on_while_the_caller_has_its_parts(running: Transformers) -> None:
    parts = running.stream(PROMPTS[0], LIMITS)
    next(parts)
    assert torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
    parts.close()  # type: ignore[attr-defined]


def test_the_same_seed_draws_the_same_reply_and_another_one_another(running: Transformers) -> None:
    first, again, other = (running.generate(PROMPTS[:1], Limits(12, 1.5, seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert running.renderer.reply("".join(running.stream(PROMPTS[0], Limits(12, 1.5, 1)))) == first[0].text


def test_a_log_likelihood_is_the_sum_over_tokens_in_any_company(running: Transformers) -> None:
    pairs = [(PROMPTS[0], "A"), (PROMPTS[1], "chapter: fever"), (PROMPTS[2], "B"), (PROMPTS[0], "Answer in TOON")]
    found = running.loglikelihoods(pairs)
    assert [score for score, _ in found] == pytest.approx([directly(running, *pair) for pair in pairs], abs=1e-4)


def test_what_greedy_decoding_writes_is_called_greedy(running: Transformers) -> None:
    ids = running.renderer.ids(PROMPTS[0])
    with torch.no_grad():
        best = int(running.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
    text = load.tokenizer(running._wanted.base).decode([best])
    other = "A" if text != "A" else "B"
    assert [greedy for _, greedy in running.loglikelihoods([(PROMPTS[0], text), (PROMPTS[0], other)])] == [True, False]


def test_without_its_adapter_the_base_answers(running: Transformers, toy_base: Base) -> None:
    pairs = [(PROMPTS[0], "A"), (PROMPTS[1], "B")]
    tuned = running.loglikelihoods(pairs)
    with running.without_adapter():
        plain = running.loglikelihoods(pairs)
    with closing(engines["transformers"](Wanted(toy_base, "chat", dtype="float32"))) as alone:
        found = alone.loglikelihoods(pairs)
        with alone.without_adapter():  # of a base alone, nothing changes
            assert alone.loglikelihoods(pairs) == found
    assert [score for score, _ in plain] == pytest.approx([score for score, _ in found])
    assert abs(plain[0][0] - tuned[0][0]) > 0.1
    assert running.loglikelihoods(pairs) == tuned, "the adapter is back"


def test_it_says_what_answers(running: Transformers, adapter: Path) -> None:
    about = running.about
    assert (about.engine, about.model, about.adapter) == ("transformers", toy.HUB_ID, adapter.as_posix())
    assert about.versions["torch"] == torch.__version__ and (about.device, about.dtype) == ("cpu", "float32")


def test_a_continuation_that_changes_the_prompts_tokens_is_refused(running: Transformers) -> None:
    with pytest.raises(MedslmError, match="tokens of a prompt change when 'd' follows"):
        running.loglikelihoods([("co", "d")])  # `od` or `cod` is one token


def test_nothing_is_asked_about_no_token(running: Transformers) -> None:
    with pytest.raises(MedslmError, match="an empty one was asked about"):
        running.generate([""], LIMITS)
    with pytest.raises(MedslmError, match="after no token at all"):
        running.loglikelihoods([("", "A")])


def test_a_text_longer_than_the_model_reads_is_refused_and_not_cut(running: Transformers) -> None:
    for ask in (running.generate, lambda prompts, limits: list(running.stream(prompts[0], limits))):
        with pytest.raises(MedslmError, match="but the model reads 1024"):
            ask(["fever " * 2000], LIMITS)
    with pytest.raises(MedslmError, match="but the model reads 1024"):
        running.loglikelihoods([(PROMPTS[0], "fever " * 2000)])


@pytest.mark.parametrize("wrong", [(0, 0.0), (4, -1.0), (4, float("nan")), (4, float("inf"))])
def test_limits_that_no_engine_keeps_are_refused(wrong: tuple[int, float]) -> None:
    with pytest.raises(MedslmError, match="was asked for"):
        Limits(*wrong)


def test_a_character_of_several_tokens_is_streamed_whole(toy_base: Base) -> None:
    said = texts.Texts(Wanted(toy_base, "chat"))
    text = "37.9 °C, 🫀 fine"
    parts = list(said.growing(said.ids(text)))
    assert "".join(parts) == text and texts.UNFINISHED not in "".join(parts) and len(parts) > 5


@pytest.mark.parametrize(
    ("engine", "module", "said"),
    [
        ("unsloth", "unsloth", r"Unsloth is not installed: make env-unsloth \(unsloth==2026\.10\.7 "),
        ("vllm", "vllm", r"vLLM is not installed; .*: make env-vllm \(.*/pip install vllm"),
        ("openai", "openai", r"openai package, which is not installed: pip install 'medslm\[judge\]'"),
    ],
)
def test_an_engine_that_is_not_installed_says_how_it_is(
    engine: str, module: str, said: str, toy_base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setenv("MEDSLM_ENGINE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("MEDSLM_ENGINE_MODEL", "m")
    with pytest.raises(MedslmError, match=said):
        engines[engine](Wanted(toy_base, "chat"))


def test_unsloth_on_a_device_that_it_does_not_know_is_a_sentence(
    toy_base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Finder:
        """Raises what Unsloth raises at import where it finds no accelerator and may not use the CPU."""

        def find_spec(self, name: str, *rest: Any) -> None:
            if name == "unsloth":
                raise NotImplementedError("You need a GPU.")

    monkeypatch.delitem(sys.modules, "unsloth", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(MedslmError, match=r"does not run here \(You need a GPU\.\); --engine transformers does"):
        engines["unsloth"](Wanted(toy_base, "chat"))


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("", r"vLLM finds no device here that it knows.*--engine transformers"),
        ("cuda", rf"vLLM did not start with {toy.HUB_ID} \(Engine core initialization failed\.\); what it wrote above"),
    ],
)
def test_vllm_that_does_not_start_is_a_sentence(
    device: str, said: str, toy_base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**options: Any) -> None:
        """What vLLM 0.26 raises when its own process has died."""
        raise RuntimeError("Engine core initialization failed.\nSee root cause above.")

    for name, members in (
        ("vllm", {"LLM": refuse}),
        ("vllm.lora", {}),
        ("vllm.lora.request", {"LoRARequest": None}),
        ("vllm.platforms", {"current_platform": SimpleNamespace(device_type=device)}),
    ):
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    with pytest.raises(MedslmError, match=said):
        engines["vllm"](Wanted(toy_base, "chat"))


def test_vllm_is_not_asked_for_weights_that_it_would_quantise_otherwise(
    toy_base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("vllm", "vllm.lora", "vllm.lora.request"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(sys.modules["vllm.lora.request"], "LoRARequest", None, raising=False)
    with pytest.raises(MedslmError, match="runs weights as they are stored, and nf4 was asked for"):
        engines["vllm"](Wanted(toy_base, "chat", quantization="nf4"))


def test_vllm_reserves_the_next_rank_that_it_knows(tmp_path: Path, toy_base: Base) -> None:
    config = {"r": 24, "rank_pattern": {"layers.0": 40}}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    assert vllm.reserved(vllm.rank(Wanted(toy_base, "chat", tmp_path))) == 64
    assert [vllm.reserved(rank) for rank in (1, 8, 24, 512)] == [8, 8, 32, 512]
    with pytest.raises(MedslmError, match="has rank 513, and vLLM serves up to 512"):
        vllm.reserved(513)


def test_an_adapter_is_asked_and_streamed_through_an_engine_by_name(adapter: Path) -> None:
    how = local.asked(adapter, "Say it.")
    whole = local.answer(adapter, how, "Typhoid fever", 8)
    parts = list(local.stream(adapter, how, "Typhoid fever", 8))
    assert len(parts) > 1 and whole  # in bfloat16 a stream and a batch may differ by a token
    with pytest.raises(MedslmError, match="no engine is called 'tgi'"):
        local.answer(adapter, how, "Typhoid fever", 8, engine="tgi")
