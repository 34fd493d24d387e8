"""A conversation gives one example for each reply, with all that was said before; what is no plain conversation is said."""

from __future__ import annotations

from typing import Any

import pytest

from medslm.data.corpus import Skip
from medslm.data.example import Example
from medslm.data.sources.readers.located import Located
from medslm.data.sources.shapes.examples import examples
from medslm.errors import MedslmError

SECRET = "Mrs Example of 12 Any Street"


def made(row: dict[str, Any]) -> list[Example]:
    return list(examples(Located(row, "x.jsonl", "line", 7), ()))


def chat(*turns: str) -> list[dict[str, str]]:
    """`chat("s:Be brief.", "u:Hello")`."""
    roles = {"s": "system", "u": "user", "a": "assistant"}
    return [{"role": roles[turn[0]], "content": turn[2:]} for turn in turns]


def test_each_reply_is_an_example_of_one_family() -> None:
    first, second = made(
        {"id": "c", "messages": chat("s:Be brief.", "u:Why?", "a:So.", "u:How?", "a:Thus.", "u:Thanks")}
    )
    assert first == Example("c/1", "", "Why?", "So.", "c", turns=(("system", "Be brief."),))
    before = (("system", "Be brief."), ("user", "Why?"), ("assistant", "So."))
    assert second == Example("c/2", "", "How?", "Thus.", "c", turns=before)


def test_sharegpt_is_the_same_conversation_under_other_names() -> None:
    told = [{"from": who, "value": text} for who, text in (("human", "Why?"), ("gpt", "So."))]
    assert made({"conversations": told, "system": "Be brief."}) == [
        Example("7", "", "Why?", "So.", "7", turns=(("system", "Be brief."),))
    ]


def test_of_prompt_and_completion_only_the_completion_is_learnt() -> None:
    (example,) = made({"prompt": chat("u:Why?", "a:So.", "u:How?"), "completion": chat("a:Thus.")})
    assert (example.input, example.output, example.turns) == ("How?", "Thus.", (("user", "Why?"), ("assistant", "So.")))
    (plain,) = made({"prompt": "Why?", "completion": "So."})
    assert (plain.input, plain.output, plain.turns) == ("Why?", "So.", ())


def test_text_in_parts_is_text() -> None:
    parts = [{"type": "text", "text": "Wh"}, {"type": "text", "text": "y?"}]
    (example,) = made({"messages": [{"role": "user", "content": parts}, *chat("a:So.")]})
    assert example.input == "Why?"


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        (chat("u:Why?"), "the conversation has no reply"),
        ([], "the conversation has no reply"),
        (None, "the conversation has no reply"),
        (chat("u:Why?", "a: "), "a turn is empty"),
        (chat("a:Hello", "u:Why?", "a:So."), "the turns do not alternate between user and assistant, beginning with the user"),
        (chat("u:Why?", "u:Well?", "a:So."), "the turns do not alternate between user and assistant, beginning with the user"),
        (chat("u:Why?", "s:Be brief.", "a:So."), "a system turn stands inside the conversation"),
    ],
)  # fmt: skip
def test_a_conversation_that_a_template_would_refuse_is_left_out_and_counted(turns: Any, reason: str) -> None:
    with pytest.raises(Skip) as left_out:
        made({"messages": turns})
    assert str(left_out.value) == reason


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        (SECRET, "column messages holds a value of type str and not a list of turns; a conversation needs JSON Lines or Parquet"),
        ([SECRET], "turn 1 of messages is of type str, not an object with role and content"),
        ([{"text": SECRET}], "turn 1 of messages has neither role and content nor from and value; it has text"),
        ([{"role": "assistant", "content": None, "tool_calls": [{"name": SECRET}]}], "turn 1 of messages calls a tool"),
        ([{"from": "function_call", "value": SECRET}], "calls a tool or holds its answer"),
        ([{"role": "doctor", "content": SECRET}], "has the unknown speaker 'doctor'; known: system, user, human"),
        ([{"role": SECRET, "content": "x"}], "has the unknown speaker; known: system, user, human"),
        ([{"role": "user", "content": [{"type": "image", "image": SECRET}]}], "turn 1 of messages holds something besides text"),
    ],
)  # fmt: skip
def test_what_is_no_plain_conversation_is_said_without_its_content(turns: Any, said: str) -> None:
    with pytest.raises(MedslmError) as refused:
        made({"messages": turns})
    assert said in str(refused.value)
    assert SECRET not in str(refused.value)
