"""Packed multiple choice gives the numbers of lm-eval's own model class, whatever shares a pass, and leaves no trace."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from evals import world
from medslm.errors import MedslmError
from medslm.infer import arithmetic, scoring
from medslm.infer.likelihoods import Likelihoods
from medslm.infer.padded import Padded
from medslm.infer.questions import Question, Tokeniser
from models import toy_bases

ROOM = 512
RULE = "<|start|>system\nAnswer with one letter only.<|end|>\n<|start|>user\n"
CASES = ("a cough", "a fever and a rash", "pain", "a cough and pain", "no pain, but a cough of long standing")
PROMPTS = [f"{RULE}The patient has {case}.<|end|>\n<|start|>assistant" for case in CASES]
PLAIN = [f"Question: the patient has {case}.\nAnswer:" for case in CASES]
LETTERS = [(prompt, letter) for prompt in PROMPTS for letter in string.printable[:94]]
TEXTS = [(prompt, text) for prompt in [*PROMPTS[:3], *PLAIN] for text in (" yes", " yes, maybe", " no", " A")]


def toy(model_type: str, implementation: str = "sdpa") -> Any:
    """A model of the byte tokenizer's vocabulary, with windows of 5 tokens where its kind has them."""
    sizes = {"max_position_embeddings": ROOM, "vocab_size": len(world.tokenizer())}
    return toy_bases.build(model_type, implementation, **sizes).eval()


def likelihoods(model: Any, rows: int = 3) -> Likelihoods:
    return Likelihoods(model, world.tokenizer(), rows)


def tokens(text: str) -> list[int]:
    ids: list[int] = world.tokenizer()(text, add_special_tokens=False).input_ids
    return ids


def of_lm_eval(model: Any, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
    judge = HFLM(pretrained=model, tokenizer=world.tokenizer(), batch_size=1, add_bos_token=False, max_length=ROOM)
    requests = [Instance("loglikelihood", {}, pair, 0) for pair in pairs]
    return [(float(total), greedy) for total, greedy in judge.loglikelihood(requests, disable_tqdm=True)]


def same(scores: Sequence[tuple[float, bool]], expected: Sequence[tuple[float, bool]]) -> bool:
    near = [total for total, _ in expected] == pytest.approx([total for total, _ in scores], abs=1e-3)
    return near and [greedy for _, greedy in scores] == [greedy for _, greedy in expected]


@pytest.mark.parametrize("model_type", ["llama", "qwen3", "gemma3_text", "gpt2", "mistral"])
def test_log_likelihoods_and_greedy_picks_are_those_of_lm_evals_own_model_class(model_type: str) -> None:
    model = toy(model_type)
    found = likelihoods(model).score([*LETTERS, *TEXTS])
    assert same(found, of_lm_eval(model, [*LETTERS, *TEXTS]))
    assert any(greedy for _, greedy in found)


def test_of_two_equally_likely_tokens_the_one_that_lm_eval_takes_is_greedy() -> None:
    model, tokenizer = toy("llama"), world.tokenizer()
    scores = likelihoods(model).score(LETTERS)
    best = next(pair for pair, (_, greedy) in zip(LETTERS, scores) if greedy)
    with torch.no_grad():
        head, (row,) = model.get_output_embeddings().weight, tokenizer(best[1]).input_ids
        rivals = [tokenizer(text).input_ids[0] for text in "!~"]  # one stands before it in the vocabulary, one after it
        head[rivals] = head[row].clone()
    pairs = [(best[0], text) for text in ("!", "~", best[1])]
    found = likelihoods(model).score(pairs)
    assert same(found, of_lm_eval(model, pairs))
    assert [greedy for _, greedy in found] == [True, False, False] and len({total for total, _ in found}) == 1


@pytest.mark.parametrize("model_type", ["gemma2", "mistral"])
def test_padded_batches_give_the_same_even_where_windows_slide(model_type: str) -> None:
    model = toy(model_type, "eager")
    (questions,) = Tokeniser(world.tokenizer()).questions(TEXTS)
    scores = dict(Padded(model, 7).score(questions))
    assert same([scores[index] for index in range(len(TEXTS))], of_lm_eval(model, TEXTS))


def test_a_model_that_cannot_be_packed_is_read_in_padded_batches_and_that_is_said_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = toy("gemma2", "eager")
    asked = likelihoods(model)
    assert same(asked.score(TEXTS), of_lm_eval(model, TEXTS))
    asked.score(TEXTS)
    said = capsys.readouterr().err
    assert said.count("padded batches, which takes longer: documents cannot be packed for a gemma2 model") == 1
    assert "set packing" not in said


@pytest.mark.parametrize("tokens", [1, 90, 200])
def test_scores_do_not_depend_on_what_shares_a_pass(tokens: int) -> None:
    asked = likelihoods(toy("gemma3_text"))
    expected = asked.score(TEXTS)
    asked.packed.tokens = tokens
    assert same(asked.score(TEXTS[::-1])[::-1], expected)


def plainly(model: Any, ids: list[int]) -> list[float]:
    """Log-probability of each token after the first, as transformers gives it for the text alone."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, :-1]
    after: list[float] = logits.log_softmax(-1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()
    return after


@pytest.mark.parametrize("held", [None, 7])
@pytest.mark.parametrize(
    ("model_type", "implementation"),
    [("llama", "sdpa"), ("gemma3_text", "sdpa"), ("gpt2", "sdpa"), ("gemma2", "eager"), ("granite", "sdpa")],
)
def test_each_tokens_log_probability_is_that_of_transformers(
    model_type: str, implementation: str, held: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = toy(model_type, implementation)
    most: list[int] = []
    if held is not None:
        monkeypatch.setattr(arithmetic, "LOGITS", {"cpu": held * len(world.tokenizer())})
        model.get_output_embeddings().register_forward_hook(lambda module, given, out: most.append(out.shape[-2]))
    asked = likelihoods(model)
    texts = [*PROMPTS, "a", "", *PLAIN]
    found = asked.by_token(list(map(tokens, texts)))
    assert held is None or max(most) <= held
    assert [len(part) for part in found] == [max(0, len(text) - 1) for text in map(tokens, texts)]
    for text, part in zip(texts, found):
        if part:
            assert part == pytest.approx(plainly(model, tokens(text)), abs=1e-4)
    assert same(asked.score(TEXTS), of_lm_eval(model, TEXTS))


def test_a_text_longer_than_the_model_reads_is_refused() -> None:
    with pytest.raises(MedslmError, match=f"but the model reads {ROOM}"):
        likelihoods(toy("llama")).by_token([[9] * (ROOM + 1)])
    with pytest.raises(MedslmError, match=f"but the model reads {ROOM}"):
        likelihoods(toy("llama")).score([("a" * ROOM, "b")])


def test_padded_batches_are_halved_too_where_memory_is_full(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = toy("gemma2", "eager")
    asked = likelihoods(model, rows=16)
    expected = asked.score(TEXTS)
    forward = model.forward
    room = [5]

    def limited(*args: Any, **options: Any) -> Any:
        if len(options["input_ids"]) > room[0]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(*args, **options)

    monkeypatch.setattr(model, "forward", limited)
    assert same(asked.score(TEXTS), expected)
    assert capsys.readouterr().err.count("note: the device's memory is full; batches have") == 1
    room[0] = 3  # but four continuations follow each prompt
    with pytest.raises(MedslmError, match=r"a question of \d+ tokens with 4 answers does not fit"):
        asked.score(TEXTS)


def full(model: Any, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the device's memory hold so many tokens."""
    forward = model.forward

    def limited(*args: Any, **options: Any) -> Any:
        if options["input_ids"].shape[1] > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(*args, **options)

    monkeypatch.setattr(model, "forward", limited)


def test_too_little_memory_halves_the_passes_and_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = toy("llama")
    asked = likelihoods(model)
    expected = asked.score(TEXTS)
    full(model, 150, monkeypatch)
    assert same(asked.score(TEXTS), expected)
    assert asked.packed.tokens < 300
    assert capsys.readouterr().err.count("note: the device's memory is full") == 1


def test_a_question_that_does_not_fit_into_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = toy("llama")
    asked = likelihoods(model)
    full(model, 20, monkeypatch)
    with pytest.raises(MedslmError, match=r"a question of \d+ tokens does not fit into the device's memory; choose"):
        asked.score(TEXTS)


def test_base_and_adapter_are_scored_in_one_go_over_the_data() -> None:
    model = world.adapted()
    asked = likelihoods(model)
    with model.disable_adapter():
        base = asked.score(TEXTS)
    assert asked.score_sides(TEXTS, [model.disable_adapter, torch.no_grad]) == [base, asked.score(TEXTS)]
    assert base != asked.score(TEXTS)


def test_what_prompts_and_rivals_share_is_read_once() -> None:
    (questions,) = Tokeniser(world.tokenizer()).questions(LETTERS)
    one = scoring.lay(sorted(questions, key=lambda question: question.prompt))
    own = [len(question.prompt) for question in questions]
    shared = len(world.tokenizer()(f"{RULE}The patient has ").input_ids)
    assert one.input_ids.shape[1] <= sum(own) - (len(own) - 1) * shared
    assert len(one.places) == len(CASES) and len(one.targets) == len(LETTERS)


TOKENS = st.lists(st.integers(0, 3), min_size=1, max_size=6)
QUESTIONS = st.lists(st.tuples(TOKENS, st.lists(TOKENS, min_size=1, max_size=3)), max_size=12)


@settings(deadline=None)
@given(QUESTIONS, st.integers(1, 30))
def test_passes_hold_each_question_once_and_no_more_than_they_may(
    drawn: list[tuple[list[int], list[list[int]]]], tokens: int
) -> None:
    drawn = [(prompt * 5, rivals) for prompt, rivals in sorted(drawn)]  # so that some share enough
    questions = [Question(prompt, tuple(enumerate(rivals))) for prompt, rivals in drawn]
    shares = scoring.share_out(questions, tokens)
    assert [question for share in shares for question in share] == questions
    for share in shares:
        one = scoring.lay(share)
        assert len(share) == 1 or one.input_ids.shape[1] <= tokens
        texts = [[*question.prompt, *rival[:-1]] for question in share for _, rival in question.rivals]
        read = [] if one.paths.places is None else one.paths.places.split([seen for _, seen in one.paths.lengths])
        assert all(one.input_ids[0, path].tolist() in [text[: len(path)] for text in texts] for path in read)


@settings(deadline=None)
@given(st.text("ab\n <|end>", max_size=20), st.text("ab \n", min_size=1, max_size=5), st.sampled_from(["", "<|end|>"]))
def test_a_prompt_whose_end_alone_is_read_with_a_continuation_has_the_tokens_of_the_whole(
    text: str, continuation: str, special: str
) -> None:
    tokenizer = merging()
    prompt, whole = f"a{special}{text}", f"a{special}{text}{continuation}"
    ids = [tokenizer(part, add_special_tokens=False).input_ids for part in (prompt, whole)]
    if ids[1][: len(ids[0])] != ids[0] or len(ids[1]) == len(ids[0]):
        with pytest.raises(MedslmError, match="the tokens of a prompt change when"):
            list(Tokeniser(tokenizer).questions([(prompt, continuation)]))
    else:
        ((question,),) = Tokeniser(tokenizer).questions([(prompt, continuation)])
        assert [*question.prompt, *question.rivals[0][1]] == ids[1]


def merging() -> PreTrainedTokenizerFast:
    """A byte tokenizer with two merges, so that an `a` before a `b` is another token than alone."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(["<|end|>", "ab", "aba", *alphabet])}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[("a", "b"), ("ab", "a")]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|end|>")


def test_a_prompt_that_merges_with_the_answer_is_refused() -> None:
    with pytest.raises(MedslmError, match="the tokens of a prompt change when 'b' follows"):
        list(Tokeniser(merging()).questions([("a", "b")]))


def test_a_likelihood_after_nothing_is_refused() -> None:
    with pytest.raises(MedslmError, match="asked for after no token at all"):
        likelihoods(toy("llama")).score([("", "A")])


def test_nothing_asked_is_nothing_scored() -> None:
    assert likelihoods(toy("llama")).score([]) == []
