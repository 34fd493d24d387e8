"""Exactly the answer and the token that ends a turn carry loss, in every shape of chat template; or it is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import toy
from medslm.data.example import Example
from medslm.data.formats.render import Renderer
from medslm.errors import MedslmError

CHATML = (toy.CHATML, ["<|im_start|>", "<|im_end|>"], "<|im_end|>")
ZEPHYR = (  # TinyLlama-1.1B-Chat: its roles are plain text, and </s> both ends a turn and pads
    "{% for message in messages %}\n{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token }}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}",
    ["<s>", "</s>"],
    "</s>",
)
LLAMA3 = (  # writes its own <|begin_of_text|>, and trims what it is given
    "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
    ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    "<|eot_id|>",
)
GEMMA = (  # calls the assistant a model
    "{{ bos_token }}{% for message in messages %}{{ '<start_of_turn>' + message['role'] | replace('assistant', 'model')"
    " + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
    ["<bos>", "<start_of_turn>", "<end_of_turn>"],
    "<end_of_turn>",
)
THINKING = (  # Qwen3: an empty thought stands before a reply, and not in the prompt
    toy.CHATML.replace(
        "{{ message['content'] }}",
        "{{ '<think>\n\n</think>\n\n' if message['role'] == 'assistant' }}{{ message['content'] }}",
    ),
    *CHATML[1:],
)
PLAIN = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}END{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
SHAPES = {"chatml": CHATML, "zephyr": ZEPHYR, "llama-3": LLAMA3, "gemma": GEMMA}
Shape = tuple[str, list[str], str]

CODED = Example("1", "Code it.", "Typhoid fever", {"chapter": "Infectious: some", "code": "1E50"}, "A01")
LETTERED = Example("2", "Choose.", "Typhoid fever", "B", "A01", ("one", "two"))


def tokenizer(shape: Shape, merges: list[tuple[str, str]] | None = None) -> Any:
    """A byte tokenizer with the special tokens of a template; `merges` glues pairs of its letters."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    template, special, end = shape
    letters = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in merges or [])]
    plain = Tokenizer(models.BPE({letter: index for index, letter in enumerate(letters)}, merges or []))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    named = {"eos_token": end, "pad_token": end} if end else {}
    made = PreTrainedTokenizerFast(
        tokenizer_object=plain, chat_template=template, bos_token=special[0] if special else None, **named
    )
    made.add_tokens(special, special_tokens=True)
    if made.bos_token:  # as Llama's and Gemma's do, which would double what the template has written
        begin = (made.bos_token, made.convert_tokens_to_ids(made.bos_token))
        made.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{made.bos_token} $A", special_tokens=[begin]
        )
    return made


@pytest.fixture(params=sorted(SHAPES))
def shape(request: pytest.FixtureRequest) -> Shape:
    return SHAPES[request.param]


@pytest.mark.parametrize("format", ["chat", "toon"])
@pytest.mark.parametrize("example", [CODED, LETTERED], ids=["coded", "lettered"])
def test_the_answer_and_the_end_of_turn_carry_loss_and_nothing_else(
    shape: Shape, example: Example, format: str
) -> None:
    tokens = tokenizer(shape)
    renderer = Renderer(tokens, format)
    row = renderer.tokens(example)
    learnt = [token for token, counts in zip(row.input_ids, row.completion_mask, strict=True) if counts]
    read = [token for token, counts in zip(row.input_ids, row.completion_mask, strict=True) if not counts]
    assert tokens.decode(learnt) == renderer.format.answer_of(example) + shape[2]
    assert tokens.decode(read) == renderer.prompt(example)
    assert row.completion_mask == [0] * len(read) + [1] * len(learnt)
    assert learnt[-1] == tokens.convert_tokens_to_ids(shape[2])  # one token, or generation would not stop at it
    assert tokens.decode(row.input_ids).count(shape[2]) == 2  # the user's turn and the answer's


def test_a_row_is_what_the_template_itself_would_write(shape: Shape) -> None:
    tokens = tokenizer(shape)
    renderer = Renderer(tokens, "toon")
    turns = [
        {"role": "user", "content": renderer.format.question_of(CODED)},
        {"role": "assistant", "content": renderer.format.answer_of(CODED)},
    ]
    whole = tokens.apply_chat_template(turns, tokenize=False)
    assert whole.rstrip() == renderer.prompt(CODED) + renderer.completion(CODED)
    assert renderer.tokens(CODED).input_ids == renderer.ids(whole.rstrip())


def test_the_prompt_has_the_question_and_not_the_answer(shape: Shape) -> None:
    prompt = Renderer(tokenizer(shape), "toon").prompt(CODED)
    assert "Typhoid fever" in prompt
    assert "1E50" not in prompt


@given(text=st.text(st.characters(exclude_categories=["Cs"])), answer=st.text(st.characters(exclude_categories=["Cs"])))
@settings(deadline=None, derandomize=True)
def test_the_border_of_the_loss_holds_for_any_text(text: str, answer: str) -> None:
    tokens = tokenizer(CHATML)
    row = Renderer(tokens, "toon").tokens(Example("1", "Do.", text, answer, "f"))
    learnt = [token for token, counts in zip(row.input_ids, row.completion_mask) if counts]
    assert tokens.decode(learnt) == answer.strip(" \t\r\n") + "<|im_end|>"


def test_a_base_without_a_chat_template_is_refused() -> None:
    bare = tokenizer(CHATML)
    bare.chat_template = None
    with pytest.raises(MedslmError, match=r"has no chat template, .* choose an instruction-tuned base"):
        Renderer(bare, "toon")


@pytest.mark.parametrize("end", ["", " END", "\n### "])
def test_a_template_without_a_special_token_behind_a_reply_is_refused(end: str) -> None:
    with pytest.raises(MedslmError) as refusal:
        Renderer(tokenizer((PLAIN.replace("END", end), ["<s>"], "<s>")), "toon")
    assert f"ends a reply with {end.lstrip()!r} and not with a special token" in str(refusal.value)


def test_a_template_whose_prompt_is_no_prefix_is_refused() -> None:
    with pytest.raises(MedslmError, match="writes a prompt otherwise before a reply than with it"):
        Renderer(tokenizer(THINKING), "toon")


def test_an_answer_that_merges_with_the_prompt_is_refused() -> None:
    spaced = (toy.CHATML.replace("assistant\n{% endif", "assistant: {% endif").replace("}}\n{{", "}}: {{"), *CHATML[1:])
    glued = tokenizer(spaced, merges=[("Ġ", "B")])
    renderer = Renderer(glued, "chat")
    with pytest.raises(
        MedslmError, match="example 2: the last token of the prompt merges with the first of the answer"
    ):
        renderer.tokens(LETTERED)
    assert renderer.tokens(CODED).completion_mask[-1] == 1


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(MedslmError, match="no format is called 'tono'; did you mean 'toon'"):
        Renderer(tokenizer(CHATML), "tono")


def test_the_longest_of_two_tokens_that_end_a_turn_is_taken() -> None:
    template, special, _ = CHATML
    doubled = (template.replace("<|im_end|>", "<end><of turn>"), [*special, "<end>", "<end><of turn>"], "<end>")
    assert Renderer(tokenizer(doubled), "toon").end_of_turn == "<end><of turn>"


def test_the_hash_changes_with_the_template_and_the_format_and_with_nothing_else() -> None:
    same = {Renderer(tokenizer(CHATML), "toon").template_hash for _ in range(2)}
    template, *rest = CHATML
    others = {
        Renderer(tokenizer((template.replace("<|im_end|>\n", "<|im_end|>\n\n"), *rest)), "toon").template_hash,
        Renderer(tokenizer(CHATML), "chat").template_hash,
        *(Renderer(tokenizer(other), "toon").template_hash for other in (ZEPHYR, LLAMA3, GEMMA)),
    }
    assert len(same) == 1
    assert len(others) == 5
    assert not same & others


def test_the_hash_changes_when_a_format_is_worded_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    renderer = Renderer(tokenizer(CHATML), "toon")
    before = renderer.template_hash
    for wording in ({"ask": lambda _: "Otherwise."}, {"write": lambda _: "otherwise"}):
        monkeypatch.setattr(renderer, "format", dataclasses.replace(renderer.format, **wording))
        assert renderer.template_hash != before
