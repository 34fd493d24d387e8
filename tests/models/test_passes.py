"""A pass lays whole documents side by side, and predicts nothing across a boundary."""

from __future__ import annotations

from itertools import pairwise

import numpy
import torch
from hypothesis import given
from hypothesis import strategies as st

from medslm.models.passes import IGNORED, Pass, lay

Documents = list[tuple[list[int], list[bool]]]
DOCUMENTS = st.lists(
    st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=1, max_size=9).map(lambda rows: list(zip(*rows))),
    min_size=1,
    max_size=5,
)


def laid(documents: Documents) -> Pass:
    """Tokens, and for each whether it is learnt."""
    return lay(
        [
            (numpy.array(tokens), numpy.where(numpy.array(learnt), numpy.array(tokens), IGNORED))
            for tokens, learnt in documents
        ]
    )


@given(DOCUMENTS)
def test_no_token_is_lost_added_or_moved(documents: Documents) -> None:
    p = laid(documents)
    bounds = p.boundaries.tolist()
    parts = [p.input_ids[0, start:end].tolist() for start, end in pairwise(bounds)]
    assert parts == [list(tokens) for tokens, _ in documents]
    assert (p.documents, p.tokens) == (len(documents), sum(map(len, parts)))
    assert p.longest == max(map(len, parts))
    assert p.boundaries.dtype == torch.int32  # what the kernels take


@given(DOCUMENTS)
def test_each_document_counts_its_positions_from_zero(documents: Documents) -> None:
    expected = [place for tokens, _ in documents for place in range(len(tokens))]
    assert laid(documents).position_ids[0].tolist() == expected


@given(DOCUMENTS)
def test_a_target_is_the_next_token_of_the_same_document(documents: Documents) -> None:
    p = laid(documents)
    expected, start = [], 0
    for tokens, learnt in documents:
        expected += [(start + at - 1, tokens[at]) for at in range(1, len(tokens)) if learnt[at]]
        start += len(tokens)
    assert list(zip(p.predicts.tolist(), p.targets.tolist())) == expected


def test_the_callers_labels_stay_as_they_were() -> None:
    labels = numpy.array([7, 8])
    lay([(numpy.array([7, 8]), labels)])
    assert labels.tolist() == [7, 8]


def test_a_moved_pass_is_the_same_pass() -> None:
    p = laid([([1, 2, 3], [False, True, True]), ([4], [True])])
    moved = p.to("meta")
    assert moved.longest == p.longest and moved.tokens == p.tokens
    assert {moved.input_ids.device.type, moved.boundaries.device.type, moved.targets.device.type} == {"meta"}
