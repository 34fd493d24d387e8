"""The adapter's licence is the strictest of its parts, and never a guess."""

from __future__ import annotations

import re

import pytest

from medslm.data import license


@pytest.mark.parametrize("corpus", ["mit", "cc-by-4.0", "cc0-1.0", "bsd-3-clause", "public-domain", "MIT ", "odc-by"])
@pytest.mark.parametrize("base", ["apache-2.0", "mit"])
def test_permissive_corpora_leave_the_licence_of_the_base(base: str, corpus: str) -> None:
    found = license.effective(base, {"a": corpus, "b": "apache-2.0"})
    assert (found.id, found.name, found.flags, found.publishable) == (base, None, (), True)


@pytest.mark.parametrize("base", ["llama3.2", "gemma", "llama2"])
def test_terms_of_a_base_are_carried_on(base: str) -> None:
    found = license.effective(base, {"a": "mit"})
    assert (found.id, found.flags, found.publishable) == (base, (license.USE_POLICY,), True)


def test_llama_asks_for_its_name() -> None:
    assert "Built with Llama" in license.effective("llama3.1", {}).reasons[0]


def test_a_licence_that_the_hub_has_no_word_for_is_named_and_linked() -> None:
    found = license.effective("health-ai-developer-foundations", {"a": "mit"})
    assert (found.id, found.name) == ("other", "health-ai-developer-foundations")
    assert found.link and found.link.startswith("https://") and found.publishable


@pytest.mark.parametrize(
    ("base", "corpora", "id", "flags"),
    [
        ("apache-2.0", ["cc-by-nc-4.0"], "cc-by-nc-4.0", {"non-commercial"}),
        ("apache-2.0", ["mit", "gpl-3.0"], "gpl-3.0", {"share-alike"}),
        ("apache-2.0", ["cc-by-sa-3.0", "cc-by-sa-4.0"], "cc-by-sa-4.0", {"share-alike"}),
        ("apache-2.0", ["cc-by-sa-4.0", "gpl-3.0"], "gpl-3.0", {"share-alike"}),
        ("apache-2.0", ["cc-by-nc-4.0", "cc-by-nc-sa-4.0"], "cc-by-nc-sa-4.0", {"non-commercial", "share-alike"}),
        ("cc-by-nc-4.0", ["mit"], "cc-by-nc-4.0", {"non-commercial"}),
    ],
)
def test_the_strictest_compatible_licence_wins(base: str, corpora: list[str], id: str, flags: set[str]) -> None:
    found = license.effective(base, dict(zip("abc", corpora)))
    assert (found.id, set(found.flags), found.publishable) == (id, flags, True)


def test_two_terms_that_can_both_be_kept_are_both_named() -> None:
    found = license.effective("llama3.2", {"a": "cc-by-nc-4.0"})
    assert (found.id, found.name, found.publishable) == ("other", "llama3.2-and-cc-by-nc-4.0", True)
    assert set(found.flags) == {license.USE_POLICY, license.NON_COMMERCIAL}


@pytest.mark.parametrize(
    ("base", "corpora"),
    [
        ("apache-2.0", ["cc-by-sa-4.0", "cc-by-nc-4.0"]),
        ("gemma", ["cc-by-sa-4.0"]),
        ("apache-2.0", ["gpl-2.0", "gpl-3.0"]),
        ("llama3.2", ["cc-by-nc-sa-4.0"]),
    ],
)
def test_licences_that_contradict_each_other_stop_publication(base: str, corpora: list[str]) -> None:
    found = license.effective(base, dict(zip("abc", corpora)))
    assert found.id == "other" and license.CONFLICT in found.flags and not found.publishable
    assert "cannot be satisfied at once" in found.reasons[-1]


@pytest.mark.parametrize("stated", [None, "", "-", "other", "unknown", "cc", "apache2", "research use"])
def test_what_is_not_known_is_never_guessed(stated: str | None) -> None:
    for found in (license.effective("apache-2.0", {"a": stated, "b": "cc-by-nc-4.0"}), license.effective(stated, {})):
        assert (found.id, found.name, found.publishable) == ("other", "unknown", False)
        assert license.UNKNOWN in found.flags
    assert license.NON_COMMERCIAL in license.effective("apache-2.0", {"a": stated, "b": "cc-by-nc-4.0"}).flags


def test_a_misspelt_licence_is_told_its_spelling() -> None:
    (_, reason) = license.effective("mit", {"a": "apache2.0"}).reasons
    assert "Corpus 'a'" in reason and "did you mean 'apache-2.0'?" in reason


@pytest.mark.parametrize("bound", ["physionet-credentialed-health-data", "umls", "cc-by-nd-4.0", "cc-by-nc-nd-4.0"])
def test_data_under_an_agreement_and_no_derivatives_stop_publication(bound: str) -> None:
    assert not license.effective("apache-2.0", {"notes": bound}).publishable


def test_every_flag_of_the_table_has_a_meaning_and_every_creative_commons_part_is_read() -> None:
    assert {flag for terms in license.TERMS.values() for flag in terms.flags} <= set(license.MEANING)
    assert set(license.TERMS["cc-by-nc-sa-4.0"].flags) == {license.NON_COMMERCIAL, license.SHARE_ALIKE}
    assert set(license.ABSORBS) | set().union(*license.ABSORBS.values()) <= set(license.TERMS)


def test_the_name_is_one_that_the_hub_accepts() -> None:
    for base in license.TERMS:
        found = license.effective(base, {"a": "gemma"})
        assert found.name is None or re.fullmatch(r"[a-z0-9.+-]+", found.name)


def test_each_source_has_its_reason() -> None:
    found = license.effective("apache-2.0", {"icd10cm": "mit"})
    assert found.reasons == (
        "The base model is under apache-2.0, which is permissive",
        "Corpus 'icd10cm' is under mit, which is permissive",
    )
