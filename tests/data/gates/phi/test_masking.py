"""Masked text scans clean, surrogates agree within a family only, and no identifier leaves by another door."""

from __future__ import annotations

import pickle
import re
from datetime import date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medslm.data.example import Example
from medslm.data.gates.phi import LETTERS, Scanner, Span, mask_example
from medslm.data.gates.phi.shifting import shifted
from medslm.data.gates.phi.surrogates import Surrogates
from medslm.errors import MedslmError

SCANNER = Scanner()
KEY = b"a key that nobody else has"
NOTE = (
    "Mr. Wei Zhang (MRN: 00482913) was seen on 03/14/2022 by Dr. Okafor at 22 Station Road, Harrogate HG1 1XT; "
    "tel 617-555-0139, SSN 523-48-1179, w.zhang@mail.example.org, from 10.24.118.7. Mr. Zhang is 93 years old."
)
VALUES = ["Wei", "Zhang", "00482913", "03/14/2022", "Okafor", "Harrogate", "0139", "1179", "w.zhang", "10.24"]
PIECES = st.sampled_from(
    [NOTE, "Dr. ", "[NAME]", "[DATE]", "Patient: ", "Brook", "Young", " and ", ", ", "May 3rd ", "3/4 ", "on ", "12345678 ",
     "MRN ", "Lives at ", "12 Oak Street", "Mr.\u00a0Smith", "03\u201107\u20111956", "\u200b", "u\u0308", "JOHN SMITH ", "\n", "Crohn disease. ", "(555) 010-9999", "[", "]", "Katarzyna ", "in Tulsa, OK "]
)  # fmt: skip


def test_a_masked_note_tells_types_and_keeps_the_rest() -> None:
    assert SCANNER.mask("Mr. Zhang, MRN 00482913, had a cough.") == "Mr. [NAME], MRN [MRN], had a cough."


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES | st.text(max_size=12), max_size=12).map("".join))
def test_masked_text_scans_clean_and_masking_again_changes_nothing(text: str) -> None:
    masked = SCANNER.mask(text)
    assert SCANNER.scan(masked) == []
    assert SCANNER.mask(masked) == masked


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES | st.text(max_size=12), max_size=12).map("".join))
def test_spans_lie_in_the_text_in_order_without_overlap(text: str) -> None:
    at = 0
    for type_, start, end in SCANNER.scan(text):
        assert type_ in LETTERS and at <= start < end <= len(text)
        at = end


def test_a_person_has_one_surrogate_in_a_family_and_another_in_the_next() -> None:
    one, same, other = (SCANNER.mask(NOTE, "surrogate", KEY, family) for family in ("p1", "p1", "p2"))
    assert one == same != other
    full, alone = re.findall(r"Mr\. (\w+(?: \w+)?) (?:\(|is)", one)
    assert full.split()[1] == alone  # Mr. Wei Zhang and Mr. Zhang


def test_a_name_behind_another_kind_of_space_has_the_surrogate_that_it_has_elsewhere() -> None:
    first, second = re.findall(
        r"Mr\.\s(\w+)", SCANNER.mask("Mr.\u00a0Zhang came. Mr. Zh\u00adang left.", "surrogate", KEY, "p")
    )
    assert first == second != "Zhang"
    assert SCANNER.mask("DOB 03\u201107\u20111956.", "surrogate", KEY, "p") == SCANNER.mask(
        "DOB 03-07-1956.", "surrogate", KEY, "p"
    )


def test_another_key_gives_other_surrogates() -> None:
    assert SCANNER.mask(NOTE, "surrogate", KEY, "p1") != SCANNER.mask(NOTE, "surrogate", KEY[::-1], "p1")


def test_surrogates_hold_no_value_of_the_note() -> None:
    changed = SCANNER.mask(NOTE, "surrogate", KEY, "p1")
    assert [value for value in VALUES if value in changed] == []
    assert "90+ years old" in changed and "example.org" in changed and "SSN 9" in changed


@pytest.mark.parametrize("key", [b"", b"short"])
def test_surrogates_without_a_long_key_are_refused(key: bytes) -> None:
    with pytest.raises(MedslmError, match="at least 16 bytes"):
        SCANNER.mask("Mr. Zhang", "surrogate", key)


def test_intervals_between_dates_survive_in_every_format() -> None:
    days = Surrogates(KEY, "p1").days
    assert days and days % 7 == 0 and abs(days) <= 364
    for written, form in (("03/14/2022", "%m/%d/%Y"), ("2022-03-14", "%Y-%m-%d"), ("14.03.2022", "%d.%m.%Y")):
        moved = shifted(written, days)
        assert moved is not None
        assert (datetime.strptime(moved, form).date() - date(2022, 3, 14)).days == days


@pytest.mark.parametrize(
    ("written", "moved"),
    [
        ("3/4/21", "3/11/21"),
        ("May 3rd", "May 10th"),
        ("the 5th of June 2019", "the 12th of June 2019"),
        ("5th of June 2019", "12th of June 2019"),
        ("07-Apr-2022", "14-Apr-2022"),
        ("SEPT 30, 1999", "OCT 7, 1999"),
        ("Tuesday, 28 December 2021", "Tuesday, 4 January 2022"),
        ("2021-12-30T08:15:00", "2022-01-06T08:15:00"),
        ("19991230", "20000106"),
        ("29.02.2020", "07.03.2020"),
        ("fourth of July", "11th of July"),
        ("24. Dezember 1950", "31. Dezember 1950"),
    ],
)
def test_a_date_moves_by_a_week_and_keeps_its_form(written: str, moved: str) -> None:
    assert shifted(written, 7) == moved


def test_a_date_that_is_none_is_not_shifted() -> None:
    assert shifted("31/31/2020", 7) is None


EXAMPLE = Example(
    id="1",
    instruction="Summarise the note of Mr. Zhang.",
    input={"note": NOTE, "labs": [{"seen by": "Dr. Okafor"}, "Na 138"]},
    output={"summary": "Mr. Zhang coughs."},
    family="patient 7",
    options=("Mr. Zhang", "Crohn disease"),
    reasoning="Dr. Okafor said so.",
    turns=(("user", "Who is Mr. Zhang?"),),
)


def test_every_text_of_an_example_is_masked_and_its_shape_stays() -> None:
    masked = mask_example(EXAMPLE, SCANNER)
    assert [value for value in VALUES if value in masked.as_json()] == []
    assert isinstance(masked.input, dict) and masked.input["labs"] == [{"seen by": "Dr. [NAME]"}, "Na 138"]
    assert masked.turns == (("user", "Who is Mr. [NAME]?"),) and masked.options == ("Mr. [NAME]", "Crohn disease")
    assert (masked.id, masked.family) == (EXAMPLE.id, EXAMPLE.family)


def test_a_name_is_the_same_in_all_parts_of_a_family() -> None:
    masked = mask_example(EXAMPLE, SCANNER, "surrogate", KEY)
    name = masked.options[0].removeprefix("Mr. ")
    assert name != "Zhang" and name in masked.answer and name in masked.instruction and name in masked.text


def test_neither_key_nor_value_is_in_what_surrogates_show_of_themselves() -> None:
    surrogates = Surrogates(KEY, "Mr. Zhang")
    assert "Zhang" not in repr(surrogates) and KEY.decode() not in repr(surrogates)


@pytest.mark.parametrize("ask", ["engine", "style"])
def test_an_unknown_engine_or_style_is_refused_without_the_text(ask: str) -> None:
    with pytest.raises(
        MedslmError, match=f"no .*{'engine' if ask == 'engine' else 'style of mask'} is called 'x'"
    ) as raised:
        Scanner("x") if ask == "engine" else SCANNER.mask(NOTE, "x")  # type: ignore[arg-type]
    assert [value for value in VALUES if value in str(raised.value)] == []


def test_a_scanner_comes_back_from_a_pickle() -> None:
    assert pickle.loads(pickle.dumps(SCANNER)).scan("Mr. Zhang") == [Span("NAME", 4, 9)]
