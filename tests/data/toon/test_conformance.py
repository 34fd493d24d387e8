"""The grammar of TOON 4.4, case by case, so that another version or package that reads it otherwise is noticed."""

from __future__ import annotations

from typing import Any

import pytest

from medslm.data.toon import codec
from medslm.data.toon.codec import ToonError

every_package = pytest.mark.parametrize("package", sorted(codec.packages()))

BOTH_WAYS: list[tuple[Any, str]] = [
    ("plain", "plain"),
    ("", '""'),
    (" edge", '" edge"'),
    ("edge ", '"edge "'),
    ("in  side", "in  side"),
    ("a:b", '"a:b"'),
    ("[x]", '"[x]"'),
    ("{x}", '"{x}"'),
    ('say "x"', '"say \\"x\\""'),
    ("C:\\x", '"C:\\\\x"'),
    ("one\ntwo", '"one\\ntwo"'),
    ("cr\rtab\t", '"cr\\rtab\\t"'),
    ("\x00\x1f", '"\\u0000\\u001f"'),
    ("-", '"-"'),
    ("-x", '"-x"'),
    ("x-", "x-"),
    ("#x", '"#x"'),
    ("x#", "x#"),
    ("42", '"42"'),
    ("-3.14", '"-3.14"'),
    ("1e-6", '"1e-6"'),
    ("05", '"05"'),
    ("1E50", '"1E50"'),
    ("1.2.3", "1.2.3"),
    ("true", '"true"'),
    ("True", "True"),
    ("null", '"null"'),
    ("\u2028", "\u2028"),
    ("\x85", "\x85"),
    ("\ufeffx", '"\ufeffx"'),
    ("5 °C ✓ 🙂", "5 °C ✓ 🙂"),
    (True, "true"),
    (None, "null"),
    ({}, ""),
    ([], "[]"),
    ({"a": "x", "b": True}, "a: x\nb: true"),
    ({"a": {"b": "x"}}, "a:\n  b: x"),
    ({"a": {}}, "a:"),
    ({"a": []}, "a: []"),
    ({"": "x"}, '"": x'),
    ({"two words": "x"}, '"two words": x'),
    ({"dotted.name_1": "x"}, "dotted.name_1: x"),
    ({"é": "x"}, '"é": x'),
    ({"1": "x"}, '"1": x'),
    ({"a": ["x", "y"]}, "a[2]: x,y"),
    ({"a": ["x,y", ""]}, 'a[2]: "x,y",""'),
    (["x", None], "[2]: x,null"),
    ([{"a": "x", "b": "y"}, {"a": "z", "b": ""}], '[2]{a,b}:\n  x,y\n  z,""'),
    ({"t": [{"a": "x"}]}, "t[1]{a}:\n  x"),
    ([{"q": "x", "o": {"A": "1", "B": "y"}}], '[1]{q,o{A,B}}:\n  x,"1",y'),
    ({"k": {"m": {"a": "x"}, "n": {"a": "y"}}}, "k[2:]{a}:\n  m: x\n  n: y"),
    ([{"a": "x"}, {"b": "y"}], "[2]:\n  - a: x\n  - b: y"),
    ([{"a": ["x"]}], "[1]:\n  - a[1]: x"),
    ([{"a": {}}], "[1]:\n  - a:"),
    ([["x"], []], "[2]:\n  - [1]: x\n  - [0]:"),
    ([{}, "x"], "[2]:\n  -\n  - x"),
]

READ_ONLY: list[tuple[str, Any]] = [
    ("a: 250.00", {"a": "250.00"}),
    ("a: 1E50", {"a": "1E50"}),
    ("a: 05", {"a": "05"}),
    ("a: -0", {"a": "-0"}),
    ("\ufeffa: x", {"a": "x"}),
    ("a: x\r\nb: y\r\n", {"a": "x", "b": "y"}),
    ("# comment\na: x", {"a": "x"}),
    ("### Instruction:\n### End\n", {}),
    ("[2|]{a|b}:\n  x|y,z\n  1|2", [{"a": "x", "b": "y,z"}, {"a": "1", "b": "2"}]),
    ("[1\t]{a\tb}:\n  x\ty", [{"a": "x", "b": "y"}]),
    ('a: "\\u00e9"', {"a": "é"}),
    ("a: [ ]", {"a": "[ ]"}),
]

REFUSED: list[tuple[str, int, str]] = [
    ("[3]: x,y", 1, "Declared length 3 but found 2"),
    ("[2]{a}:\n  x\n\n  y", 3, "Blank line inside an array"),
    ("[1]{a,b}:\n  x,y,z", 2, "Expected 2 values but found 3"),
    ("a:\n   b: x", 2, "Indentation of 3 spaces"),
    ("a:\n\tb: x", 2, "Tabs are not allowed"),
    ("a: x\na: y", 2, "Duplicate key"),
    ('a: "x', 1, "Unterminated string"),
    ('a: "\\x"', 1, "Invalid escape"),
    ('a: "\\ud800"', 1, "Surrogate escape"),
    ("[1]{a,a}:\n  x,y", 1, "Duplicate field name"),
    ("[01]: x", 1, "Malformed bracket"),
    ("[1]{a|b}:\n  x,y", 1, "Field list delimiter"),
    ("[1]{a:\n  x", 1, "Unmatched"),
    ("x\ny", 1, "Expected"),
    ("[1]{a}:\n  x\nb: y", 3, "Unexpected content after the root"),
    ("a [1]: x", 1, "Whitespace between a key"),
]


@every_package
@pytest.mark.parametrize(("value", "text"), BOTH_WAYS, ids=repr)
def test_a_value_is_written_and_read_so(package: str, value: Any, text: str) -> None:
    assert codec.encode(value, package) == text
    assert codec.decode(text, package) == value


@every_package
@pytest.mark.parametrize(("text", "value"), READ_ONLY, ids=repr)
def test_a_text_is_read_so(package: str, text: str, value: Any) -> None:
    assert codec.decode(text, package) == value


@every_package
@pytest.mark.parametrize(("text", "line", "problem"), REFUSED, ids=repr)
def test_a_text_is_refused_so(package: str, text: str, line: int, problem: str) -> None:
    with pytest.raises(ToonError, match=problem) as refusal:
        codec.decode(text, package)
    assert refusal.value.line == line
