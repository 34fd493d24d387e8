"""Chat templates of every shape: what is learnt continues what is asked, on every day and with every kind of turn."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pytest

import toy_templates
from medslm.data.example import Example
from medslm.data.formats import Unwritable, template
from medslm.data.formats.render import Renderer
from medslm.errors import MedslmError
from toy_templates import CHATML, QWEN3, SHAPES, THINKING, Shape, tokenizer

ASKED = Example("1", "Choose.", "Gout", "B", "f", ("one", "two"))
THOUGHT = dataclasses.replace(ASKED, reasoning="\nNot one.\n\nSo two.\n")
TALK = Example("2", "", "And now?", "Rest.", "f", turns=(("user", "Hi"), ("assistant", "Hello")))
SYSTEM = dataclasses.replace(TALK, turns=(("system", "Be brief."), *TALK.turns))


@pytest.fixture(params=sorted(SHAPES))
def shape(request: pytest.FixtureRequest) -> Shape:
    return SHAPES[request.param]


def rendered(tokens: Any, example: Example, prompt: bool, **extra: Any) -> str:
    """What the template itself makes of an example."""
    question = Renderer(tokens, "chat").format.question_of(example)
    messages = [{"role": role, "content": text} for role, text in (*example.turns, ("user", question))]
    if not prompt:
        messages.append({"role": "assistant", "content": example.output, **extra.pop("more", {})})
    text: str = tokens.apply_chat_template(
        messages,
        chat_template=template.source(tokens),
        tokenize=False,
        add_generation_prompt=prompt,
        **{"enable_thinking": False, **extra},
    )
    return text


@pytest.mark.parametrize("example", [ASKED, TALK], ids=["one turn", "several"])
def test_prompt_and_answer_are_the_conversation_that_the_template_writes(shape: Shape, example: Example) -> None:
    tokens = tokenizer(shape)
    renderer = Renderer(tokens, "chat")
    whole = renderer.prompt(example) + renderer.completion(example)
    assert renderer.prompt(example) == rendered(tokens, example, prompt=True)
    assert (
        whole.removesuffix(shape[2]) == rendered(tokens, example, prompt=False).rstrip().removesuffix(shape[2]).rstrip()
    )
    row = renderer.tokens(example)
    assert tokens.decode(row.input_ids) == whole
    learnt = [token for token, counts in zip(row.input_ids, row.completion_mask) if counts]
    assert tokens.decode(learnt) == renderer.completion(example)
    assert learnt[-1] == tokens.convert_tokens_to_ids(shape[2])
    assert renderer.reply(tokens.decode(learnt)) == example.output


def test_a_conversation_begins_with_bos_only_where_the_template_writes_it(shape: Shape) -> None:
    tokens = tokenizer(shape, adds_bos=True)
    ids = Renderer(tokens, "chat").tokens(ASKED).input_ids
    assert ids.count(tokens.bos_token_id) == rendered(tokens, ASKED, prompt=False).count(tokens.bos_token)


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_the_reply_of_a_model_is_cut_at_its_end(name: str) -> None:
    tokens = tokenizer(SHAPES[name])
    renderer = Renderer(tokens, "chat")
    assert renderer.reply(f" B \n{renderer.end_of_turn}<junk>") == "B"
    assert renderer.reply(f"{tokens.bos_token} B") == "B"


@pytest.mark.parametrize("name", sorted(THINKING))
def test_reasoning_goes_to_the_place_that_the_template_has_for_it(name: str) -> None:
    tokens = tokenizer(THINKING[name])
    renderer = Renderer(tokens, "chat")
    asked, told = renderer.prompt(THOUGHT), renderer.completion(THOUGHT)
    assert asked == rendered(tokens, THOUGHT, prompt=True, enable_thinking=True)
    if name != "smollm3":  # its template takes the thoughts as part of the text
        more = {"reasoning_content": "Not one.\n\nSo two.", "thinking": "Not one.\n\nSo two."}
        whole = rendered(tokens, THOUGHT, prompt=False, enable_thinking=True, more=more)
        assert asked + told == whole.rstrip()
    assert "Not one.\n\nSo two." in told and "B" in told
    assert renderer.reply(told) == "B"
    row = renderer.tokens(THOUGHT)
    assert tokens.decode([token for token, counts in zip(row.input_ids, row.completion_mask) if counts]) == told


def test_a_prompt_of_qwen3_without_reasoning_holds_an_empty_thought() -> None:
    renderer = Renderer(tokenizer(QWEN3), "toon")
    assert renderer.prompt(ASKED).endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert renderer.completion(ASKED) == "B<|im_end|>"
    assert renderer.prompt(THOUGHT).endswith("<|im_start|>assistant\n")
    assert renderer.completion(THOUGHT) == "<think>\nNot one.\n\nSo two.\n</think>\n\nB<|im_end|>"


@pytest.mark.parametrize(
    "example", [dataclasses.replace(THOUGHT, reasoning="a </think> b"), Example("1", "", "", "</think>", "f")]
)
def test_a_text_that_ends_its_own_thought_is_refused(example: Example) -> None:
    with pytest.raises(Unwritable, match="example 1: reasoning or answer hold '</think>'"):
        Renderer(tokenizer(QWEN3), "chat").tokens(example)


def test_the_format_that_thinks_in_the_text_leaves_the_templates_place_empty() -> None:
    renderer = Renderer(tokenizer(QWEN3), "think")
    assert renderer.prompt(THOUGHT).endswith("<think>\n\n</think>\n\n")
    told = renderer.completion(THOUGHT)
    assert told == "<think>\nNot one.\n\nSo two.\n</think>\n<response>\nB\n</response><|im_end|>"
    assert renderer.format.read(renderer.reply(told), ()).reasoning == "Not one.\n\nSo two."


@pytest.mark.parametrize("name", ["chat", "toon", "json"])
def test_reasoning_without_a_place_is_an_error_that_names_a_format(name: str) -> None:
    renderer = Renderer(tokenizer(SHAPES["chatml"]), name)
    with pytest.raises(
        MedslmError, match=rf"example 1 cannot be written as '{name}': .* choose format 'think'"
    ) as error:
        renderer.tokens(THOUGHT)
    assert not isinstance(error.value, Unwritable)
    assert renderer.prompt(THOUGHT) == renderer.prompt(ASKED)  # an exam asks it without


def test_a_system_turn_is_put_before_the_question_where_the_template_has_none() -> None:
    gemma = Renderer(tokenizer(SHAPES["gemma"]), "chat")
    assert gemma.prompt(SYSTEM) == (
        "<bos><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\nHello<end_of_turn>\n"
        "<start_of_turn>user\nAnd now?<end_of_turn>\n<start_of_turn>model\n"
    )
    alone = dataclasses.replace(TALK, turns=(("system", "Be brief."),))
    assert "<start_of_turn>user\nBe brief.\n\nAnd now?<end_of_turn>" in gemma.prompt(alone)
    silent = (
        SHAPES["chatml"][0]
        .replace("{% for", "{% for", 1)
        .replace("in messages %}", "in messages if message['role'] != 'system' %}"),
        *SHAPES["chatml"][1:],
    )
    assert "user\nBe brief.\n\nHi" in Renderer(tokenizer(silent), "chat").prompt(SYSTEM)


def test_turns_that_the_template_refuses_are_refused_with_its_words() -> None:
    strict = SHAPES["chatml"][0].replace(
        "{% for message in messages %}",
        "{% for message in messages %}{% if message['content'] == 'Hi' and loop.index0 == 0 %}{{ raise_exception('roles must alternate') }}{% endif %}",
    )
    with pytest.raises(Unwritable, match="the chat template says: roles must alternate"):
        Renderer(tokenizer((strict, *SHAPES["chatml"][1:])), "chat").tokens(TALK)


class Tomorrow(datetime.datetime):
    """A clock that is ahead."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Tomorrow:
        return cls(2031, 1, 2, tzinfo=tz)


@pytest.mark.parametrize(("name", "day"), [("dated", "Today: 26 Jul 2024"), ("smollm3", "Today: 26 July 2024")])
def test_a_prompt_is_the_same_on_every_day(name: str, day: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.utils import chat_template_utils

    tokens = tokenizer(SHAPES[name])
    before = Renderer(tokens, "chat")
    prompt, digest = before.prompt(ASKED), before.template_hash
    monkeypatch.setattr(chat_template_utils, "datetime", Tomorrow)
    assert "2031" in tokens.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False)  # the clock is read
    after = Renderer(tokens, "chat")
    assert day in prompt
    assert (after.prompt(ASKED), after.template_hash) == (prompt, digest)


def test_a_date_that_cannot_be_pinned_is_refused() -> None:
    computed = SHAPES["dated"][0].replace("'%d %b %Y'", "'%d' + ' %b'")
    with pytest.raises(MedslmError, match="writes today's date in a form that is computed"):
        Renderer(tokenizer((computed, *SHAPES["dated"][1:])), "chat")


def test_every_shape_has_a_hash_of_its_own() -> None:
    made = [Renderer(toy_templates.tokenizer(shape), "toon").template_hash for shape in SHAPES.values()]
    assert len({*made}) == len(SHAPES)


def test_rival_answers_stand_behind_what_the_template_puts_before_an_answer() -> None:
    assert Renderer(tokenizer(SHAPES["harmony"]), "chat").choices(ASKED) == [
        f"<|channel|>final<|message|>{letter}" for letter in "AB"
    ]
    renderer = Renderer(tokenizer(SHAPES["brackets"]), "toon")
    assert renderer.choices(ASKED) == [" A", " B"]
    assert renderer.completion(ASKED).startswith(renderer.choices(ASKED)[1])


def test_a_template_that_refuses_earlier_turns_has_a_hash_too() -> None:
    alone = CHATML[0].replace(
        "{% for",
        "{% if messages[1:2] and messages[1].role == 'user' %}{{ raise_exception('one turn') }}{% endif %}{% for",
        1,
    )
    digest = Renderer(tokenizer((alone, *CHATML[1:])), "chat").template_hash
    assert digest != Renderer(tokenizer(CHATML), "chat").template_hash
