"""TinyStories: short stories in the words of a small child, for pretraining small models (arXiv:2305.07759)."""

from __future__ import annotations

from collections.abc import Iterator

from medslm.data.builders.reading import family_of, filled, fingerprint
from medslm.data.corpus import Corpus, Row, corpora
from medslm.data.example import Example
from medslm.data.sources.hub import Dataset


def story(row: Row) -> Iterator[Example]:
    """A text to be continued: nothing is asked, and the whole story carries loss."""
    text = filled(row["text"], "story")
    yield Example(fingerprint(text), "", "", text, family_of(text))


corpora.add(
    "tinystories", Corpus(Dataset("roneneldan/TinyStories"), "cdla-sharing-1.0", "pretraining", ("text",), story)
)
