"""What Ollama sends to the model is what the run's prompts are, token for token."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import toy_templates
from export import go_template
from medslm.data.example import Example
from medslm.data.formats.render import Renderer
from medslm.errors import MedslmError
from medslm.export import modelfile, subject
from medslm.models import load
from medslm.models.base import Base, bases
from recipes import world

CHAT = sorted(base.hub_id for base in bases.values() if base.hub_id != "openai-community/gpt2")
SYSTEM = [("system", "Be brief, as in {{ this }} and {")]
TALKS: list[go_template.Messages] = [
    [("user", "What is {croup}?")],
    [("user", "What is croup?"), ("assistant", "An infection."), ("user", "Of what?")],
    [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"), ("user", "e")],
]
LATE_SYSTEM = (  # Mistral: the system's text stands before the last question
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}[INST] {% if loop.last and "
    "messages[0]['role'] == 'system' %}{{ messages[0]['content'] }}\n\n{% endif %}{{ message['content'] }}[/INST]"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)


def of(tokenizer: Any, format: str = "chat") -> Any:
    """As much of a run as a template is written from."""
    return SimpleNamespace(tokenizer=tokenizer, renderer=Renderer(tokenizer, format))


def prompt(renderer: Renderer, talk: go_template.Messages) -> str:
    """What the run's renderer makes of a conversation."""
    *before, (_, question) = talk
    return renderer.prompt(Example("1", "", question, "", "f", turns=tuple(before)))


def same(who: Any) -> None:
    """Every conversation, with a system's text and without, has the renderer's tokens, and BOS once."""
    written, renderer = modelfile._template(who), who.renderer
    for talk in [*TALKS, *([*SYSTEM, *talk] for talk in TALKS)]:
        sent, trained = modelfile.begin(who) + go_template.execute(written, talk), prompt(renderer, talk)
        assert (sent, renderer.ids(sent)) == (trained, renderer.ids(trained))


@pytest.mark.parametrize("hub_id", CHAT)
def test_ollama_sends_what_each_base_was_trained_on(hub_id: str) -> None:
    same(of(world.tokenizer(hub_id)))


@pytest.mark.parametrize("shape", toy_templates.SHAPES)
def test_ollama_sends_what_a_template_of_each_shape_was_trained_on(shape: str) -> None:
    same(of(toy_templates.tokenizer(toy_templates.SHAPES[shape])))


@pytest.mark.parametrize("format", ["instruct", "question"])
@pytest.mark.parametrize("adds_bos", [False, True])
def test_ollama_sends_the_headings_of_a_base_without_a_template(format: str, adds_bos: bool) -> None:
    same(of(toy_templates.without_template(adds_bos), format))


def test_ollama_sends_the_tokens_of_the_embedded_base(real_base: Base) -> None:
    same(of(load.tokenizer(real_base)))


def test_a_system_text_stands_before_the_question_where_the_template_has_no_place_for_one() -> None:
    written = modelfile._template(
        of(toy_templates.tokenizer(toy_templates.GEMMA))
    )  # whose template refuses such a turn
    sent = go_template.execute(written, [("system", "Be brief."), ("user", "Why?")])
    assert sent == "<start_of_turn>user\nBe brief.\n\nWhy?<end_of_turn>\n<start_of_turn>model\n"


def test_a_system_text_that_cannot_be_placed_is_refused_by_ollama_and_not_dropped() -> None:
    written = modelfile._template(of(toy_templates.tokenizer((LATE_SYSTEM, ["<s>", "</s>"], "</s>"))))
    talk = TALKS[1]
    assert go_template.execute(written, talk) == "[INST] What is croup?[/INST]An infection.</s>[INST] Of what?[/INST]"
    with pytest.raises(ValueError, match="a system text, which has no place in the prompts"):
        go_template.execute(written, [*SYSTEM, *talk])


def test_a_template_that_writes_an_early_turn_otherwise_later_is_refused() -> None:
    shortened = (  # what was said before the last question loses its end
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
        "{% if loop.revindex <= 2 %}<|im_end|>{% endif %}\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    with pytest.raises(MedslmError, match="writes a turn otherwise in a longer conversation"):
        modelfile._template(of(toy_templates.tokenizer((shortened, *toy_templates.CHATML[1:]))))


def test_the_modelfile_names_file_template_end_of_turn_and_licence(run: Path) -> None:
    who = subject.find(run)
    told = modelfile.text(who, "toy-run-f16.gguf")
    assert "FROM ./toy-run-f16.gguf\n" in told
    assert 'PARAMETER stop "<|im_end|>"\nPARAMETER temperature 0\n' in told
    assert 'LICENSE """mit\nthe base is under mit"""' in told
    assert "\nSYSTEM" not in told
    assert f'TEMPLATE """{modelfile._template(who)}"""' in told
