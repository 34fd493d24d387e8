"""TOON text and back: the same by every package, numbers as they were written, and no content in an error."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medslm.data.toon import codec
from medslm.data.toon.codec import ToonError

PACKAGES = sorted(codec.packages())
every_package = pytest.mark.parametrize("package", PACKAGES)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        "",
        " ",
        "-",
        "- a",
        "#",
        "250.00",
        "1E50",
        "true",
        "null",
        "a,b",
        'a"b',
        "a\\b",
        "\u2028",
        "\x85",
        "\ufeffa",
        "[]",
        "a: b",
    ]
)
VALUES = st.recursive(
    TEXT | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
TEXTS = st.recursive(
    TEXT, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12
)
SCRAPS = [
    "a",
    "1",
    "-",
    "#",
    ":",
    ",",
    '"',
    "\\",
    "\\u0041",
    "  ",
    "\n",
    "[2]",
    "{a,b}",
    "\t",
    "\r\n",
    "true",
    "null",
    "1e5",
    "|",
]


@every_package
@given(value=TEXTS)
def test_texts_in_lists_and_mappings_come_back(package: str, value: Any) -> None:
    assert codec.decode(codec.encode(value, package), package) == value


@given(value=VALUES)
def test_every_package_writes_the_same(value: Any) -> None:
    assert len({codec.encode(value, package) for package in PACKAGES}) == 1


@given(text=st.lists(st.sampled_from(SCRAPS), max_size=14).map("".join))
def test_every_package_reads_the_same_and_refuses_the_same(text: str) -> None:
    assert len({repr(_read(text, package)) for package in PACKAGES}) == 1


def _read(text: str, package: str) -> Any:
    try:
        return codec.decode(text, package)
    except ToonError as error:
        return error.problem, error.line


@every_package
@pytest.mark.parametrize(
    "number", ["250.00", "1E50", "-0", "0.10", "1" + "0" * 30, "1e999", "-1.50e-7", "99999999999999999999"]
)
def test_a_number_without_quotes_decodes_to_the_text_that_was_written(package: str, number: str) -> None:
    assert codec.decode(f"[2]{{code,title}}:\n  {number},x\n  {number},y", package)[1] == {"code": number, "title": "y"}


@every_package
def test_a_big_number_is_written_in_full(package: str) -> None:
    assert codec.encode({"n": 10**30, "rows": [{"n": 2**64}]}, package) == f"n: {10**30}\nrows[1]{{n}}:\n  {2**64}"


@every_package
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused(package: str, number: float) -> None:
    with pytest.raises(ToonError, match="not finite, and TOON would write null"):
        codec.encode({"rows": [{"n": 10**30}, {"n": number}]}, package)


@every_package
@pytest.mark.parametrize("value", [{"a": "x\ud800"}, {"\udfff": "x"}, [1, "\ud800"]])
def test_half_a_surrogate_pair_is_refused_in_a_sentence(package: str, value: Any) -> None:
    with pytest.raises(ToonError, match="half of a surrogate pair"):
        codec.encode(value, package)
    with pytest.raises(ToonError, match="half of a surrogate pair"):
        codec.decode("a: \ud800", package)


@pytest.mark.parametrize("value", [b"x", {1: "x"}, {"a": {None: "x"}}, object(), {"a": {"b"}}])
def test_what_toon_has_no_notation_for_is_refused_by_type(value: Any) -> None:
    with pytest.raises(ToonError, match=r"a (key|value) is of type (bytes|int|NoneType|object|set)"):
        codec.encode(value)


@every_package
def test_endless_nesting_is_refused_at_the_same_depth(package: str) -> None:
    def nested(levels: int) -> Any:
        value: Any = "x"
        for _ in range(levels):
            value = {"a": value}
        return value

    assert codec.decode(codec.encode(nested(codec.DEEPEST), package), package) == nested(codec.DEEPEST)
    with pytest.raises(ToonError, match="nested more than 100 levels"):
        codec.encode(nested(codec.DEEPEST + 1), package)
    for levels in (codec.DEEPEST + 1, 3000):
        with pytest.raises(ToonError, match="nested"):
            codec.decode("\n".join(f"{'  ' * level}a:" for level in range(levels + 1)), package)


@every_package
@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("[2]{a}:\n  x", 1, "Declared length 2 but found 1"),
        ("[1]{a,b}:\n  SECRET", 2, "Expected 2 values but found 1"),
        ('a: "SECRET', 1, "Unterminated string"),
        ('a: "SECRET\\q"', 1, "Invalid escape sequence"),
        ("SECRET: 1\nSECRET: 2", 2, "Duplicate key"),
        ("a: 1\nSECRET", 2, "Expected 'key: value'"),
        ("[1]{SECRET,SECRET}:\n  1,2", 1, "Duplicate field name"),
    ],
)
def test_an_error_names_the_line_and_never_the_content(package: str, text: str, line: int, problem: str) -> None:
    with pytest.raises(ToonError) as refusal:
        codec.decode(text, package)
    assert (refusal.value.line, refusal.value.problem) == (line, problem)
    assert str(refusal.value) == f"line {line}: {problem}"


def test_a_package_that_is_not_installed_is_a_sentence_and_the_official_one_is_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(codec, "packages", lambda: {"toon-format": "1.2.0"})
    assert codec.decode(codec.encode({"code": "250.00"})) == {"code": "250.00"}
    with pytest.raises(ToonError, match="'ctoon' is not installed; there is toon-format"):
        codec.encode({}, "ctoon")


def test_a_mapping_that_is_no_dict_is_written_too() -> None:
    from types import MappingProxyType

    assert {codec.encode(MappingProxyType({"a": ("x", "y")}), package) for package in PACKAGES} == {"a[2]: x,y"}
