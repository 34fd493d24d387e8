"""To the letter: what every format writes, so that no published prompt changes by accident."""

from __future__ import annotations

from typing import Any

import pytest

import toy_templates
from medslm.data.example import Example
from medslm.data.formats import formats
from medslm.data.formats.render import Renderer

HEAD, ASSISTANT = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
THINK = "Think first, between <think> and </think>, then answer between <response> and </response>."
DIAGNOSES = [
    {"code": "I10", "title": "Hypertension, essential"},
    {"code": "250.00", "title": "Diabetes"},
    {"code": "E11.9", "title": "Diabetes: type 2"},
]
CODED = Example("1", "Give the code.", "Gout", {"chapter": "Musculoskeletal: all", "code": "1E50"}, "f")
LISTED = Example(
    "2",
    "List them.",
    {"note": "Seen today.\nNo pain: well.", "age": "54", "diagnoses": DIAGNOSES},
    {"diagnoses": DIAGNOSES[:2], "severe": []},
    "f",
)
CHOICE = Example("3", "Choose.", "Which?", "B", "f", ("one", "two"))
TALK = Example(
    "4", "", "And now?", "Rest.", "f", turns=(("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"))
)
NOTE = "note:\nSeen today.\nNo pain: well.\n\nage: 54\n\n"
PLAIN_ROWS = (
    "diagnoses:\n- code: I10; title: Hypertension, essential\n- code: 250.00; title: Diabetes\n"
    "- code: E11.9; title: Diabetes: type 2"
)
PLAIN_ANSWER = PLAIN_ROWS.rpartition("\n")[0] + "\nsevere: none"
TOON_ROWS = (
    'diagnoses[3]{code,title}:\n  I10,"Hypertension, essential"\n  "250.00",Diabetes\n  E11.9,"Diabetes: type 2"'
)
TOON_ANSWER = 'diagnoses[2]{code,title}:\n  I10,"Hypertension, essential"\n  "250.00",Diabetes\nsevere: []'
JSON_ROWS = (
    '[{"code":"I10","title":"Hypertension, essential"},{"code":"250.00","title":"Diabetes"},'
    '{"code":"E11.9","title":"Diabetes: type 2"}]'
)
JSON_ANSWER = JSON_ROWS.rpartition(",{")[0] + "]"
PLAIN_ASK = "Answer with one line each for chapter, code, as name: value."
LIST_ASK = "Answer under diagnoses, severe one line each, as - name: value; name: value."

CHAT = {
    "chat": [
        (CODED, f"Give the code. {PLAIN_ASK}\n\nGout", "chapter: Musculoskeletal: all\ncode: 1E50"),
        (LISTED, f"List them. {LIST_ASK}\n\n{NOTE}{PLAIN_ROWS}", PLAIN_ANSWER),
        (CHOICE, "Choose.\n\nWhich?\nA. one\nB. two", "B"),
    ],
    "toon": [
        (
            CODED,
            "Give the code. Answer in TOON: chapter, code.\n\nGout",
            'chapter: "Musculoskeletal: all"\ncode: "1E50"',
        ),
        (LISTED, f"List them. Answer in TOON: diagnoses[], severe[].\n\n{NOTE}{TOON_ROWS}", TOON_ANSWER),
        (CHOICE, "Choose.\n\nWhich?\nA. one\nB. two", "B"),
    ],
    "toon-countless": [
        (
            LISTED,
            f"List them. Answer in TOON: diagnoses[], severe[].\n\n{NOTE}{TOON_ROWS}",
            TOON_ANSWER.replace("[2]", "[]"),
        )
    ],
    "json": [
        (
            CODED,
            "Give the code. Answer in JSON: chapter, code.\n\nGout",
            '{"chapter":"Musculoskeletal: all","code":"1E50"}',
        ),
        (
            LISTED,
            f"List them. Answer in JSON: diagnoses[], severe[].\n\n{NOTE}diagnoses: {JSON_ROWS}",
            f'{{"diagnoses":{JSON_ANSWER},"severe":[]}}',
        ),
    ],
    "think": [
        (
            CODED,
            f"Give the code. {PLAIN_ASK} {THINK}\n\nGout",
            "<think>\n\n</think>\n<response>\nchapter: Musculoskeletal: all\ncode: 1E50\n</response>",
        ),
        (
            Example("5", "Choose.", "Which?", "B", "f", ("one", "two"), reasoning="\nNot one.\n\nSo two.\n"),
            f"Choose. {THINK}\n\nWhich?\nA. one\nB. two",
            "<think>\nNot one.\n\nSo two.\n</think>\n<response>\nB\n</response>",
        ),
    ],
}


@pytest.fixture(scope="module")
def chatml() -> Any:
    return toy_templates.tokenizer(toy_templates.CHATML)


@pytest.mark.parametrize("name", CHAT)
def test_a_format_in_the_chat_template_writes_this_and_nothing_else(name: str, chatml: Any) -> None:
    renderer = Renderer(chatml, name)
    for example, question, answer in CHAT[name]:
        assert renderer.prompt(example) == HEAD + question + ASSISTANT
        assert renderer.completion(example) == answer + "<|im_end|>"


HEADINGS = {
    "instruct": [
        (
            CODED,
            f"### Instruction:\nGive the code. {PLAIN_ASK}\n\nGout\n\n### Response:\n",
            "chapter: Musculoskeletal: all\ncode: 1E50\n\n### End",
        ),
        (
            TALK,
            "Be brief.\n\n### Instruction:\nHi\n\n### Response:\nHello\n\n### End\n\n"
            "### Instruction:\nAnd now?\n\n### Response:\n",
            "Rest.\n\n### End",
        ),
    ],
    "question": [
        (CHOICE, "### Question:\nChoose.\n\nWhich?\nA. one\nB. two\n\n### Response:\n", "B"),
        (
            TALK,
            "Be brief.\n\n### Question:\nHi\n\n### Response:\nHello\n\n### Question:\nAnd now?\n\n### Response:\n",
            "Rest.",
        ),
    ],
    "text": [
        (Example("6", "", "", "  A document.\n\nIn two parts.\n", "f"), "", "A document.\n\nIn two parts."),
        (Example("7", "", "A document as input.", "", "f"), "", "A document as input."),
        (CHOICE, "", "Choose.\n\nWhich?\nA. one\nB. two\n\nB"),
        (TALK, "", "Be brief.\n\nHi\n\nHello\n\nAnd now?\n\nRest."),
    ],
}


@pytest.mark.parametrize("name", HEADINGS)
@pytest.mark.parametrize("begin", ["", "<|endoftext|>"])
def test_a_format_without_a_chat_template_writes_this_and_nothing_else(name: str, begin: str) -> None:
    renderer = Renderer(toy_templates.without_template(adds_bos=bool(begin)), name)
    for example, prompt, answer in HEADINGS[name]:
        assert renderer.prompt(example) == begin + prompt
        assert renderer.completion(example) == answer + "<|endoftext|>"


def test_every_format_is_shown_here() -> None:
    assert {*CHAT, *HEADINGS} == set(formats)


def test_the_turns_before_a_question_go_through_the_chat_template(chatml: Any) -> None:
    assert Renderer(chatml, "chat").prompt(TALK) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n"
        f"{HEAD}And now?{ASSISTANT}"
    )
