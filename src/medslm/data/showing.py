"""Examples in a form to read: as the model sees them, or beside the test item that they resemble."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from typing import Any

from medslm.data import given, screening
from medslm.data.benchmark import benchmarks
from medslm.data.corpus import Corpus
from medslm.data.example import Example
from medslm.data.formats.refusal import Unwritable
from medslm.data.formats.render import Renderer
from medslm.data.gates.contamination import Screen

WINDOW = 1000
"""Examples at the start of a corpus over which those shown are spread."""

LEARNT, PLAIN = "\033[32m", "\033[0m"


def examples(corpus: Corpus, tokenizer: Any, format: str, number: int) -> Iterator[str]:
    """`number` examples as prompt and completion, the completion, which carries loss, set off."""
    renderer = Renderer(tokenizer, format)
    window = list(itertools.islice(corpus.load(), WINDOW))
    for example in window[:: max(1, len(window) // max(1, number))][:number]:
        try:
            tokens = renderer.tokens(example)
        except Unwritable as refusal:
            yield _rule(f"{example.id} cannot be written: {refusal}")
            continue
        learnt = sum(tokens.completion_mask)
        yield _rule(f"{example.id}: {len(tokens.input_ids)} tokens, {learnt} of them learnt")
        yield renderer.prompt(example)
        yield _set_off(renderer.completion(example))


def copies(corpus: Corpus, number: int) -> Iterator[str]:
    """The first `number` examples that resemble test items, each beside its item; then what was compared with."""
    screen = Screen(benchmarks)
    found = ((example, match) for example in corpus.load() if (match := screen.find(example)))
    for example, match in itertools.islice(found, number):
        yield _rule(f"{example.id} is {match.benchmark} {match.item} ({match.rule}, {match.similarity:.2f})")
        yield _question(example)
        yield _rule("the test item")
        yield next(
            _question(item) for item in given.benchmark(match.benchmark, benchmarks).examples() if item.id == match.item
        )
    yield screening.compared(screen.items, screen.missing)


def _question(example: Example) -> str:
    return "\n".join([example.text, *example.options])


def _rule(title: str) -> str:
    return f"---- {title} ".ljust(100, "-")


def _set_off(completion: str) -> str:
    if sys.stdout.isatty():
        return f"{LEARNT}{completion}{PLAIN}"
    return f"[learnt from here]{completion}"
