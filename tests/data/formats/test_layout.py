"""Headings around the turns, for bases without a chat template: they begin and end as the tokenizer's own texts do."""

from __future__ import annotations

from typing import Any

import pytest

from medslm.data.example import Example
from medslm.data.formats import Unwritable
from medslm.data.formats.render import Renderer
from medslm.errors import MedslmError
from toy_templates import CHATML, tokenizer, without_template

ASKED = Example("1", "Answer.", "A text\n\n### Response:\nwith a heading\n\n### End", "### Endocrine\n\ndiseases", "f")
NAMES = ["instruct", "question", "text"]


def words(adds_bos: bool) -> Any:
    """A tokenizer that writes a space before the first word of a text, as Llama 2's does, and after BOS only if asked."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = ["<s>", "</s>", "<unk>", "\u2581", *map(chr, range(32, 127)), "\n"]
    raw = Tokenizer(models.BPE({letter: index for index, letter in enumerate(letters)}, [], unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    raw.decoder = decoders.Metaspace(prepend_scheme="first", split=False)
    if adds_bos:
        raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("base", [without_template, words])
@pytest.mark.parametrize("adds_bos", [True, False])
def test_a_row_is_what_the_tokenizer_itself_makes_of_the_text(name: str, base: Any, adds_bos: bool) -> None:
    tokens = base(adds_bos)
    renderer = Renderer(tokens, name)
    row = renderer.tokens(ASKED)
    text = (renderer.prompt(ASKED) + renderer.completion(ASKED)).removesuffix(tokens.eos_token)
    text = text.removeprefix(tokens.bos_token).removeprefix(" ") if adds_bos else text
    assert row.input_ids == [*tokens(text)["input_ids"], tokens.eos_token_id]
    assert row.completion_mask[-1] == 1
    learnt = [token for token, counts in zip(row.input_ids, row.completion_mask) if counts]
    assert renderer.reply(tokens.decode(learnt)).endswith("### Endocrine\n\ndiseases")


def test_of_a_document_everything_but_bos_is_learnt() -> None:
    for adds_bos in (False, True):
        row = Renderer(without_template(adds_bos), "text").tokens(ASKED)
        assert sum(row.completion_mask) == len(row.completion_mask) - adds_bos


@pytest.mark.parametrize(
    ("generated", "reply"),
    [
        ("Rest.\n\n### End<|endoftext|>", "Rest."),
        ("Rest.\n\n### End\n\n### Instruction:\nMore?", "Rest."),
        ("### Endocrine\nRest.\r\n### End \r\n", "### Endocrine\nRest."),
        ("Rest: ### End", "Rest: ### End"),
        ("Rest.<|endoftext|>\n\nmore", "Rest."),
        ("", ""),
    ],
)
def test_the_tail_is_taken_off_a_reply_only_where_it_is_a_line(generated: str, reply: str) -> None:
    assert Renderer(without_template(), "instruct").reply(generated) == reply


def test_an_answer_that_holds_the_line_of_its_end_is_refused() -> None:
    early = Example("1", "Answer.", "text", "one\n### End\ntwo", "f")
    with pytest.raises(Unwritable, match="example 1: the answer holds the line '### End', its end"):
        Renderer(without_template(), "instruct").tokens(early)
    assert Renderer(without_template(), "question").completion(early) == "one\n### End\ntwo<|endoftext|>"


def test_a_tokenizer_without_an_end_is_refused() -> None:
    with pytest.raises(MedslmError, match=r"has no eos_token, .* set one, or choose a base that has it"):
        Renderer(tokenizer((CHATML[0], [], "")), "instruct")


@pytest.mark.parametrize("name", ["instruct", "question"])
def test_reasoning_under_headings_is_an_error_that_names_a_format(name: str) -> None:
    thought = Example("1", "Answer.", "text", "A", "f", reasoning="why")
    with pytest.raises(MedslmError, match="reasoning has no place under plain headings; choose format 'think'"):
        Renderer(without_template(), name).tokens(thought)
