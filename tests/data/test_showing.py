"""What is shown is what the model sees, and a copy stands beside the item it was copied from."""

from __future__ import annotations

import io
import sys

import pytest

import toy
import toy_world
from medslm.data import showing
from medslm.data.corpus import Corpus
from medslm.data.formats.render import Renderer
from medslm.registry import Registry
from toy_world import ITEM, NOTES


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Registry[Corpus]:
    return toy_world.settle(monkeypatch)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_examples_are_shown_as_they_are_rendered_and_what_carries_loss_is_set_off(
    world: Registry[Corpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    renderer = Renderer(toy.tokenizer(), "chat")
    shown = list(showing.examples(world["notes"], toy.tokenizer(), "chat", 1))
    tokens = renderer.tokens(NOTES[0])
    assert shown[0].startswith(
        f"---- n0: {len(tokens.input_ids)} tokens, {sum(tokens.completion_mask)} of them learnt "
    )
    assert shown[1:] == [renderer.prompt(NOTES[0]), "[learnt from here]" + renderer.completion(NOTES[0])]
    monkeypatch.setattr(sys, "stdout", Terminal())
    coloured = list(showing.examples(world["notes"], toy.tokenizer(), "chat", 1))[2]
    assert coloured == f"\033[32m{renderer.completion(NOTES[0])}\033[0m"


@pytest.mark.parametrize(
    ("number", "ids"), [(0, []), (2, ["n0", "n10"]), (3, ["n0", "n6", "n12"]), (99, [f"n{n}" for n in range(20)])]
)
def test_as_many_as_asked_for_are_shown_spread_over_the_corpus(
    world: Registry[Corpus], number: int, ids: list[str]
) -> None:
    shown = list(showing.examples(world["notes"], toy.tokenizer(), "chat", number))
    assert [line.removeprefix("---- ").partition(":")[0] for line in shown[::3]] == ids


def test_an_example_that_cannot_be_written_says_so_in_its_place(world: Registry[Corpus]) -> None:
    shown = list(showing.examples(world["lost"], toy.tokenizer(), "chat", 99))
    refused = [line for line in shown if "cannot be written" in line]
    assert len(refused) == 1 and "special token" in refused[0]


def test_a_copy_is_shown_beside_its_item_and_what_was_not_compared_is_said(world: Registry[Corpus]) -> None:
    first, question, rule, item, *others = showing.copies(world["lost"], 1)
    assert first.startswith("---- thief is exam 0 (exact, 1.00)")
    assert (question, item) == (ITEM, ITEM) and rule.startswith("---- the test item ")
    assert others == ["compared with 2 items of 1 benchmarks; NOT with gone, which cannot be read here"]


def test_a_clean_corpus_shows_with_what_it_was_compared(world: Registry[Corpus]) -> None:
    assert list(showing.copies(world["notes"], 3)) == [
        "compared with 2 items of 1 benchmarks; NOT with gone, which cannot be read here"
    ]
