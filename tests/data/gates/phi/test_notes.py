"""70 notes of ours with their identifiers marked, written before the rules: most characters are found, few are taken wrongly."""

from __future__ import annotations

import re
from pathlib import Path

from medslm.data.gates.phi import LETTERS, Scanner, Span

NOTES = Path(__file__).with_name("notes.txt").read_text(encoding="utf-8").strip("\n").split("\n---\n")


def read(note: str) -> tuple[str, list[Span]]:
    text, spans, at = "", [], 0
    for mark in re.finditer(r"\[\[([A-Z_]+):(.*?)\]\]", note, re.S):
        text += note[at : mark.start()]
        spans.append(Span(mark[1], len(text), len(text) + len(mark[2])))
        text, at = text + mark[2], mark.end()
    return text + note[at:], spans


def characters(text: str, spans: list[Span]) -> set[int]:
    return {at for span in spans for at in range(span.start, span.end) if text[at].isalnum()}


def test_the_notes_hold_most_types_and_are_marked_well() -> None:
    types = {span.type for note in NOTES for span in read(note)[1]}
    assert len(NOTES) >= 60 and types <= set(LETTERS) and len(types) >= 15


def test_nine_of_ten_characters_are_found_and_few_others() -> None:
    scanner, hit, wanted, got = Scanner(), 0, 0, 0
    for note in NOTES:
        text, spans = read(note)
        truth, found = characters(text, spans), characters(text, scanner.scan(text))
        hit, wanted, got = hit + len(truth & found), wanted + len(truth), got + len(found)
    assert hit / wanted >= 0.9 and hit / got >= 0.85
