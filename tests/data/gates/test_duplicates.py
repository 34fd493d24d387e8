"""A repetition is found, whatever its spaces; a near copy is found among strangers; and honest examples pass."""

from __future__ import annotations

import dataclasses
import itertools
import pickle
import random
import subprocess
import sys
from typing import Any

import numpy
import pytest
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st

from medslm.data.example import Example
from medslm.data.gates import bands, clusters, duplicates
from medslm.data.gates.duplicates import PERMUTATIONS, exact, fingerprint, near, signature
from medslm.errors import MedslmError
from toy_data import example

NOTE = (
    "A 54-year-old man was brought in with crushing chest pain for two hours. The ECG shows ST elevation in V1 to V4."
)
FULL = Example(
    "1", "Code it.", {"note": NOTE, "plan": "café"}, {"code": "I21.0"}, "f", ("a", "b"), "why", (("user", "hi"),)
)
FINGERPRINT = 1278396121662822668
SIGNATURE = [35224, 2938, 22524, 25287, 64714, 258, 22855, 38773]


def words(seed: int, number: int) -> list[str]:
    return [f"word{random.Random(seed * 1000 + place).randrange(10**6)}" for place in range(number)]


def text(*of: str) -> numpy.ndarray[Any, Any]:
    return signature(example(" ".join(of)))


def similarity(one: numpy.ndarray[Any, Any], other: numpy.ndarray[Any, Any]) -> float:
    return float((one == other).mean())


def bare(of: list[str]) -> numpy.ndarray[Any, Any]:
    """The signature of words alone, without an instruction: the functions are the same for all, so that a shingle which is
    in all texts biases all estimates alike."""
    return signature(Example("1", "", " ".join(of), "", "f"))


def shingles(of: list[str]) -> set[str]:
    return {" ".join(run) for run in zip(of, of[1:], of[2:])}


@pytest.mark.parametrize(
    "copy",
    [
        pytest.param(FULL, id="the same"),
        pytest.param(dataclasses.replace(FULL, id="2", family="g"), id="other id and family"),
        pytest.param(dataclasses.replace(FULL, instruction=" Code\n\u00a0it.  "), id="other white space"),
        pytest.param(
            dataclasses.replace(FULL, input={"note": NOTE, "plan": "cafe\u0301"}), id="accent in two characters"
        ),
    ],
)
def test_a_repetition_has_the_same_fingerprint(copy: Example) -> None:
    assert fingerprint(copy) == fingerprint(FULL)


@pytest.mark.parametrize(
    "change",
    [
        {"instruction": "Code it"},
        {"instruction": "code it."},
        {"input": {"note": NOTE, "other": "café"}},
        {"input": {"note": NOTE + "café", "plan": ""}},
        {"output": {"code": "I21.1"}},
        {"output": "I21.0"},
        {"options": ("b", "a")},
        {"options": ("ab",)},
        {"reasoning": ""},
        {"turns": (("assistant", "hi"),)},
    ],
    ids=repr,
)
def test_whatever_differs_is_no_repetition(change: dict[str, Any]) -> None:
    assert fingerprint(dataclasses.replace(FULL, **change)) != fingerprint(FULL)


def test_fingerprints_and_signatures_are_those_of_every_machine_and_version() -> None:
    assert fingerprint(FULL) == FINGERPRINT
    assert signature(FULL)[:8].tolist() == SIGNATURE


def test_fingerprints_and_signatures_do_not_depend_on_the_hash_seed() -> None:
    code = (
        "import pickle, sys; from medslm.data.gates.duplicates import fingerprint, signature; "
        "told = pickle.load(sys.stdin.buffer); print(fingerprint(told), signature(told).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(FULL), capture_output=True, check=True)
    assert done.stdout.decode().strip() == f"{fingerprint(FULL)} {signature(FULL).tolist()}"


def test_lone_surrogates_and_empty_texts_are_taken() -> None:
    odd = Example("1", "", "\ud800", "", "f")
    assert 0 <= fingerprint(odd) < 1 << 64
    assert signature(odd).shape == signature(Example("1", "", "", "", "f")).shape == (PERMUTATIONS,)


@pytest.mark.parametrize("kept", [0, 40, 70, 79, 80])
def test_a_signature_tells_the_similarity_that_datasketch_tells(kept: int) -> None:
    """Both estimate from 64 numbers; over 40 pairs the mean of each lies within a few standard errors of the truth."""
    told, theirs, truth = [], [], []
    for pair in range(40):
        one = words(pair, 80)
        other = one[:kept] + words(pair + 10_000, 80 - kept)
        told.append(similarity(bare(one), bare(other)))
        sets, sketches = (shingles(one), shingles(other)), [MinHash(PERMUTATIONS, seed=pair + 1) for _ in range(2)]
        for sketch, of in zip(sketches, sets):
            sketch.update_batch([shingle.encode() for shingle in of])
        theirs.append(sketches[0].jaccard(sketches[1]))
        truth.append(len(sets[0] & sets[1]) / len(sets[0] | sets[1]))
    error = (numpy.mean(truth) * (1 - numpy.mean(truth)) / (40 * PERMUTATIONS)) ** 0.5
    assert numpy.mean(told) == pytest.approx(numpy.mean(truth), abs=4 * error + 1e-3)
    assert numpy.mean(told) == pytest.approx(numpy.mean(theirs), abs=6 * error + 1e-3)


def test_numbered_sentences_are_not_taken_for_copies() -> None:
    """CRC-32 of words that differ in one digit are related; what is made of them must not be."""
    rows = [bare([f"{word}{number}" for word in ("patient", "visit", "code", "date")]) for number in range(300)]
    told = [similarity(one, other) for one, other in itertools.pairwise(rows)]
    assert numpy.mean(told) < 0.002


@pytest.mark.parametrize("other", [NOTE.upper(), NOTE.replace(".", " !!"), NOTE.replace("5", "\uff15")])
def test_case_punctuation_and_full_width_digits_make_no_difference_to_a_signature(other: str) -> None:
    assert similarity(signature(example(NOTE)), signature(example(other))) == 1


def test_words_of_ascii_are_the_same_in_a_text_that_is_not() -> None:
    assert duplicates._hashes(NOTE + " _a_b-c\x1fd\x00e é") [:-1] == duplicates._hashes(NOTE + " _a_b-c\x1fd\x00e")  # fmt: skip


def test_characters_are_words_where_a_script_has_no_spaces() -> None:
    assert len(duplicates._hashes("患者主诉头痛 CT 三天")) == 9


def test_a_long_instruction_does_not_make_short_examples_alike() -> None:
    instruction = " ".join(words(1, 60))
    one, other = (Example("1", instruction, f"What is {name}?", f"{name} it is", "f") for name in ("asthma", "gout"))
    assert similarity(signature(one), signature(other)) < 0.4


def test_a_long_system_turn_does_not_make_short_examples_alike() -> None:
    turns = (("system", " ".join(words(1, 60))),)
    one, other = (
        Example("1", "", f"What is {name}?", f"{name} it is", "f", turns=turns) for name in ("asthma", "gout")
    )
    assert similarity(signature(one), signature(other)) < 0.4


def test_an_instruction_without_input_is_what_is_compared() -> None:
    one, other = (Example("1", " ".join(words(seed, 60)), "", "It is so.", "f") for seed in (1, 2))
    assert similarity(signature(one), signature(one)) == 1
    assert similarity(signature(one), signature(other)) < 0.4


@settings(deadline=None)
@given(st.lists(st.integers(0, 20), max_size=60), st.randoms())
def test_every_repetition_after_the_first_is_told(values: list[int], chance: random.Random) -> None:
    alive = [chance.random() < 0.7 for _ in values]
    seen: set[int] = set()
    expected = []
    for value, living in zip(values, alive):
        expected.append(living and value in seen)
        seen |= {value} if living else set()
    array = numpy.array(values, "u8")
    assert exact(array, numpy.array(alive, bool)).tolist() == expected
    assert exact(array).tolist() == [value in values[:place] for place, value in enumerate(values)]


def crowd(number: int, seed: int = 0) -> numpy.ndarray[Any, Any]:
    return numpy.random.default_rng(seed).integers(0, 1 << 16, (number, PERMUTATIONS), "u2")


def copy_of(row: numpy.ndarray[Any, Any], changed: int) -> numpy.ndarray[Any, Any]:
    copy = row.copy()
    copy[random.Random(changed).sample(range(PERMUTATIONS), changed)] ^= 1
    return copy


def test_near_copies_are_found_among_strangers() -> None:
    rows = crowd(5_000)
    rows[4_000], rows[10], rows[4_500] = copy_of(rows[7], 6), copy_of(rows[7], 9), copy_of(rows[99], 12)
    found = near(rows)
    assert numpy.flatnonzero(found.repeats).tolist() == [10, 4_000, 4_500]
    assert found.cluster[[7, 10, 4_000, 99, 4_500]].tolist() == [7, 7, 7, 99, 99]
    assert (found.clusters, found.unchecked) == (2, 0)
    assert sorted(found.pairs)[-1] == (99, 4_500, round(52 / 64, 3))


def test_what_is_less_alike_than_the_threshold_is_no_copy() -> None:
    rows = crowd(100)
    rows[50], rows[60] = copy_of(rows[0], 13), copy_of(rows[1], 12)
    assert numpy.flatnonzero(near(rows).repeats).tolist() == [60]
    assert not near(rows, threshold=0.9).repeats.any()
    assert numpy.flatnonzero(near(rows, threshold=0.7).repeats).tolist() == [50, 60]


def test_texts_with_some_words_changed_are_found_and_others_are_not() -> None:
    texts = [words(seed, 100) for seed in range(50)]
    copies = [[*of[:50], "other", *of[51:]] for of in texts[:10]]
    half = [[*of[:50], *words(99, 50)] for of in texts[10:20]]
    found = near(numpy.stack([text(*of) for of in [*texts, *copies, *half]]))
    assert found.cluster[50:60].tolist() == list(range(10))
    assert not found.repeats[60:].any()


def test_a_copy_of_a_copy_is_found_though_it_is_unlike_the_first() -> None:
    """It shares one band with both; there the first copy has been joined already, and only neighbours are compared."""
    rows = crowd(3)
    rows[1] = rows[0]
    rows[1, 32:44] ^= 1
    rows[2] = rows[1]
    rows[2, [4 * band + 3 for band in range(16) if band != 3]] ^= 2
    assert near(rows, threshold=0.75).cluster.tolist() == [0, 0, 0]


def test_examples_left_out_are_neither_copies_nor_copied() -> None:
    rows = crowd(20)
    rows[5] = rows[9] = rows[2]
    alive = numpy.ones(20, bool)
    alive[2] = False
    found = near(rows, alive)
    assert numpy.flatnonzero(found.repeats).tolist() == [9]
    assert found.cluster[9] == 5


def test_parts_and_files_give_what_one_array_gives(tmp_path: Any) -> None:
    rows = crowd(1_000)
    rows[900:] = rows[100:200]
    numpy.save(tmp_path / "rows.npy", rows)
    whole = near(rows)
    parts = near([rows[:300], rows[300:300], rows[300:301], rows[301:]])
    mapped = near(numpy.load(tmp_path / "rows.npy", mmap_mode="r"))
    assert numpy.flatnonzero(whole.repeats).tolist() == list(range(900, 1_000))
    assert (whole.cluster == parts.cluster).all() and (whole.cluster == mapped.cluster).all()
    assert whole.pairs == parts.pairs == mapped.pairs


def test_many_copies_of_many_examples_are_one_cluster_each() -> None:
    rows = crowd(30)[numpy.random.default_rng(1).integers(0, 30, 3_000)]
    found = near(rows)
    assert found.clusters == 30
    assert int(found.repeats.sum()) == 2_970


def test_comparisons_that_are_given_up_are_counted() -> None:
    rows = crowd(100)
    rows[:, :4] = 7  # one phrase of all: one key of the first band
    found = near(rows)
    assert not found.repeats.any()
    assert found.unchecked == 100 - bands.ROUNDS - 1


def test_copies_between_training_and_validation_are_counted() -> None:
    rows = crowd(10)
    rows[9] = rows[8] = rows[0]
    train = numpy.arange(10) < 8
    assert near(rows).across(train, ~train) == 2
    assert near(crowd(10)).across(train, ~train) == 0


@pytest.mark.parametrize("rows", [numpy.empty((0, PERMUTATIONS), "u2"), [], crowd(1)], ids=["none", "no parts", "one"])
def test_nothing_is_like_nothing(rows: Any) -> None:
    assert not near(rows).repeats.any()
    assert near(rows).clusters == 0


@pytest.mark.parametrize(
    ("rows", "threshold", "message"),
    [
        (crowd(3)[:, :32], 0.8, r"shape \(3, 32\) and the type uint16"),
        (crowd(3).astype("u4"), 0.8, "type uint32"),
        (crowd(3), 0.5, r"similarity of 0\.5; it must be 0\.6 to 1"),
        (crowd(3), 1.1, r"similarity of 1\.1"),
    ],
)
def test_what_the_bands_do_not_serve_is_refused(rows: Any, threshold: float, message: str) -> None:
    with pytest.raises(MedslmError, match=message):
        near(rows, threshold=threshold)


@settings(deadline=None)
@given(st.integers(1, 40), st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=60))
def test_clusters_are_those_of_a_walk_along_the_pairs(size: int, pairs: list[tuple[int, int]]) -> None:
    pairs = [(one % size, other % size) for one, other in pairs]
    expected = list(range(size))
    for _ in range(size):
        for one, other in pairs:
            expected[one] = expected[other] = min(expected[one], expected[other])
    forest = numpy.arange(size)
    clusters.join(forest, *numpy.array(pairs, int).reshape(-1, 2).T)
    clusters.flatten(forest)
    assert forest.tolist() == expected
