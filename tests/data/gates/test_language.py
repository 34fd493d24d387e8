"""Other languages are told, and what only looks like another language is left undetermined."""

from __future__ import annotations

import pytest
import simple_icd_10_cm

from medslm.data.gates.language import language


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The patient has had a headache and a fever for three days.", "en"),
        ("THE PATIENT HAS HAD A HEADACHE AND A FEVER FOR THREE DAYS.", "en"),
        ("Der Patient klagt seit drei Tagen über starke Kopfschmerzen und Übelkeit.", "de"),
        ("Le patient se plaint de maux de tête depuis trois jours.", "fr"),
        ("El paciente refiere dolor de cabeza desde hace tres días.", "es"),
        ("Пациент жалуется на головную боль в течение трёх дней.", "ru"),
        ("患者主诉头痛三天，伴恶心呕吐，无发热，既往有高血压病史，目前没有服用任何药物。", "zh"),
        ("يشكو المريض من صداع منذ ثلاثة أيام.", "ar"),
    ],
)
def test_the_language_of_a_sentence_is_told(text: str, code: str) -> None:
    assert language(text) == code


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "I21.0",
        "Aspirin 81 mg p.o. q.d.",
        "levothyroxine",
        "Musculus sternocleidomastoideus",
        "Bacillus anthracis, Clostridium perfringens, Staphylococcus aureus, Escherichia coli",
        "x² + 2xy + y² = (x + y)²; sin α · cos β ≤ 1",
        "NaCl 0.9 %, KCl 20 mEq/l, D5W",
        "ATG GCC TTA AGC CAT GGC TAA CGT",
        "\ud800 \x00 \ufffd",
        "胃炎",
    ],
)
def test_names_codes_and_formulas_have_no_language(text: str) -> None:
    assert language(text) is None


def test_titles_of_the_icd_are_english_or_undetermined() -> None:
    titles = [simple_icd_10_cm.get_description(code) for code in simple_icd_10_cm.get_all_codes()[::40]]
    told = [language(title) for title in titles]
    assert set(told) <= {"en", None}
    assert told.count("en") > len(told) / 3


def test_a_long_text_is_judged_by_its_beginning() -> None:
    english = "The patient has had a headache and a fever for three days. "
    assert language(english * 10 + "Der Patient klagt über Kopfschmerzen. " * 1_000) == "en"
