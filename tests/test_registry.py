"""A registry gives each name once and explains a miss."""

from __future__ import annotations

import pytest

from medslm.errors import MedslmError
from medslm.registry import Registry, UnknownName


@pytest.fixture
def corpora() -> Registry[int]:
    registry: Registry[int] = Registry("corpus")
    for number, name in enumerate(["pubmedqa", "medmcqa", "asclepius"]):
        registry.add(name, number)
    return registry


def test_a_name_gives_its_record(corpora: Registry[int]) -> None:
    assert corpora["medmcqa"] == 1
    assert dict(corpora) == {"pubmedqa": 0, "medmcqa": 1, "asclepius": 2}
    assert corpora.add("new", 3) == corpora["new"] == 3


def test_a_second_use_of_a_name_is_refused_and_changes_nothing(corpora: Registry[int]) -> None:
    with pytest.raises(MedslmError, match="two records of kind corpus are called 'medmcqa'"):
        corpora.add("medmcqa", 9)
    assert corpora["medmcqa"] == 1


def test_a_misspelt_name_gets_the_nearest_and_all(corpora: Registry[int]) -> None:
    with pytest.raises(UnknownName) as miss:
        corpora["medmqa"]
    assert str(miss.value) == (
        "no corpus is called 'medmqa'; did you mean 'medmcqa'? known: asclepius, medmcqa, pubmedqa"
    )


def test_a_name_like_no_other_gets_all_names_and_no_guess(corpora: Registry[int]) -> None:
    with pytest.raises(UnknownName, match=r"^no corpus is called 'xyzzy'; known: asclepius, medmcqa, pubmedqa$"):
        corpora["xyzzy"]


def test_an_empty_registry_says_so() -> None:
    with pytest.raises(UnknownName, match="no suite is called 'a'; known: none"):
        Registry("suite")["a"]


def test_a_miss_is_a_key_error_too_so_that_a_mapping_works(corpora: Registry[int]) -> None:
    assert "medmqa" not in corpora
    assert corpora.get("medmqa") is None
    assert issubclass(UnknownName, KeyError) and issubclass(UnknownName, MedslmError)


def test_a_record_cannot_be_replaced_or_deleted(corpora: Registry[int]) -> None:
    with pytest.raises(TypeError):
        corpora["medmcqa"] = 2  # type: ignore[index]
    with pytest.raises(TypeError):
        del corpora["medmcqa"]  # type: ignore[attr-defined]
