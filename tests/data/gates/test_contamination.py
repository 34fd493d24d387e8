"""The gate lets the thief in by every door known, and catches it; and it lets honest examples pass."""

from __future__ import annotations

import multiprocessing
import pickle
import random
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medslm.data.benchmark import Benchmark
from medslm.data.example import Example
from medslm.data.gates import contamination, near, overlap
from medslm.data.gates.contamination import Match, Screen
from medslm.errors import MedslmError
from medslm.registry import Registry
from toy_data import Rows, as_it_is, benchmarks, example

ITEM = "Acute myocardial infarction of the anterior wall, with café-au-lait spots in 2 places"
VIGNETTE = (
    "A 41-year-old baker comes to the clinic because of a cough that wakes him on working nights and spares his holidays. "
    "He has kept canaries for ten years and smokes a pipe on Sundays. His temperature is 37.0 C (98.6 F), pulse is 80/min, "
    "and blood pressure is 120/80 mm Hg. There are faint wheezes over both lungs after he has climbed two flights of stairs. "
    "A skin prick with rye flour raises a weal of eight millimetres, one with feathers raises none. "
    "Which of the following is the most appropriate next step in the management of this patient?"
)
VITALS = "His temperature is 37.0 C (98.6 F), pulse is 80/min, and blood pressure is 120/80 mm Hg."
OPTIONS = ("Flour dust mask and inhaled budesonide", "Removal of the canaries", "Bronchoscopy", "Nicotine patch")
CHOICE = Example(
    "c", "Answer.", "Which bone of the wrist breaks most often in a fall?", "A", "c", ("Scaphoid", "Lunate")
)
ABSTRACT = (
    "Beavers were reintroduced to three valleys and the iron in the water of their ponds was measured monthly for two years. "
    "Ponds with dams older than one winter held twice as much dissolved iron as streams without any dam. "
    "No effect of the season was seen, and trout were as frequent above the dams as below them."
)
ASKED = "Do the dams of beavers raise dissolved iron in mountain streams?"
ABSTRACT_ITEM = Example("p", "Answer.", f"{ABSTRACT}\n\n{ASKED}", "A", "p", ("yes", "no", "maybe"))
PAGE = " ".join(
    f"{word} page"
    for word in ["rain", "gutter", "chalk", "amber", "pencil", "lantern", "orchard", "saddle", "velvet", "marble"] * 12
)


def items(**held: Iterable[Example]) -> Registry[Benchmark]:
    """Benchmarks by name, from their items."""
    registry: Registry[Benchmark] = Registry("benchmark")
    for name, examples in held.items():
        rows = Rows(tuple({"example": one} for one in examples))
        registry.add(name, Benchmark(rows, "mit", "all", as_it_is))
    return registry


def screen_of(registry: Registry[Benchmark], required: Iterable[str] = ()) -> Screen:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contamination, "benchmarks", registry)
        return Screen(registry, set(required))


@pytest.fixture(scope="module")
def short() -> Screen:
    """The gate before short statements, as those of ICD-10-CM."""
    return screen_of(
        benchmarks(exam=["Cholera due to Vibrio cholerae 01", ITEM], other=["Benign neoplasm of the left eyelid"])
    )


@pytest.fixture(scope="module")
def exam() -> Screen:
    """The gate before a vignette, a short question and a question on an abstract."""
    vignette = Example("v", "Answer.", VIGNETTE, "A", "v", OPTIONS)
    return screen_of(items(exam=[vignette, CHOICE], papers=[ABSTRACT_ITEM]))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(ITEM, id="exact"),
        pytest.param(ITEM.upper(), id="other case"),
        pytest.param(" ".join(reversed(ITEM.split())), id="reordered"),
        pytest.param(ITEM.replace(",", " --").replace(" ", "\n") + "!!!", id="other punctuation and spaces"),
        pytest.param(ITEM.replace("é", "e\u0301"), id="accent in two characters"),
        pytest.param("".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in ITEM), id="full-width letters"),
        pytest.param("\u200b".join(ITEM), id="characters of no width"),
        pytest.param(ITEM.replace("o", "\u00ado"), id="soft hyphens"),
        pytest.param(ITEM + ", unspecified", id="one word more"),
        pytest.param(ITEM.replace("Acute ", ""), id="one word less"),
        pytest.param(ITEM.replace("places", "sites"), id="one word other"),
        pytest.param(f"{ITEM} {ITEM}", id="twice"),
        pytest.param(f"{PAGE}. {ITEM}. {PAGE}", id="inside of a page"),
    ],
)
def test_a_copy_of_a_test_item_is_caught(short: Screen, text: str) -> None:
    match = short.find(example(text, "thief"))
    assert match and (match.benchmark, match.item) == ("exam", "1")
    assert near.WORDS <= match.similarity <= 1


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Acute myocardial infarction of the inferior wall", id="another statement of the same illness"),
        pytest.param("Cholera", id="one word of an item"),
        pytest.param("Fracture of femur", id="other words"),
        pytest.param("", id="empty"),
        pytest.param("...", id="no words"),
        pytest.param(PAGE, id="a page"),
    ],
)
def test_a_different_statement_is_kept(short: Screen, text: str) -> None:
    honest = example(text)
    assert short.find(honest) is None


def changed(text: str, every: int) -> str:
    """Every so manyth word is another one."""
    return " ".join("zebra" if n % every == every - 1 else word for n, word in enumerate(text.split()))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        pytest.param(VIGNETTE.upper().replace(" ", "\n\n"), "exact", id="case and white space"),
        pytest.param(f"{PAGE} {VIGNETTE} {PAGE}", "overlap", id="inside of a page"),
        pytest.param(changed(VIGNETTE, 10), "words", id="every tenth word other"),
        pytest.param(" ".join(sorted(VIGNETTE.split())), "words", id="words sorted"),
        pytest.param(". ".join(reversed(VIGNETTE.split(". "))), "words", id="sentences in another order"),
        pytest.param(VIGNETTE.replace("41", "47").replace("80", "88"), "words", id="numbers changed"),
        pytest.param(" ".join(VIGNETTE.split()[:50]), "overlap", id="cut short"),
        pytest.param(f"{VIGNETTE} {' '.join(f'word{n}' for n in range(150))}", "overlap", id="with a long answer"),
    ],
)
def test_a_copy_of_a_vignette_is_caught(exam: Screen, text: str, rule: str) -> None:
    assert rule in {match.rule for match in exam.matches(example(text))}
    assert exam.find(example(text)) == max(exam.matches(example(text)), key=lambda match: match.similarity)
    assert (exam.find(example(text)) or Match("", "", "", 0)).item == "v"


def test_a_long_text_is_caught_by_its_phrases_when_too_many_other_words_stand_around_it(exam: Screen) -> None:
    """Every ninth word is another one, so that no thirteen follow each other, and half as many are added."""
    text = changed(VIGNETTE, 9) + " " + " ".join(f"word{n}" for n in range(60))
    assert [match.rule for match in exam.matches(example(text))] == ["phrases"]


@pytest.mark.parametrize("given", ["A. Scaphoid\nB. Lunate", "An exam of surgeons."])
def test_a_short_question_is_caught_as_the_instruction_of_an_input(given: str) -> None:
    """Alpaca's shape of an exam: the question is the instruction, its options or a heading the input."""
    exam = screen_of(items(bones=[CHOICE]))
    found = exam.find(Example("t", CHOICE.text.upper(), given, "A", "t"))
    assert found == Match("bones", "c", "exact", 1.0)
    assert exam.find(Example("t", "Name the bone.", given, "A", "t")) is None


@pytest.mark.parametrize(
    "thief",
    [
        pytest.param(Example("t", VIGNETTE, "", "Mask", "t"), id="as the instruction"),
        pytest.param(Example("t", "Continue.", "", f"{PAGE} {VIGNETTE}", "t"), id="in the output"),
        pytest.param(Example("t", "Go on.", "Why?", "So.", "t", turns=(("user", VIGNETTE),)), id="said before"),
        pytest.param(Example("t", "Go on.", "Why?", "So.", "t", turns=(("assistant", VIGNETTE),)), id="quoted before"),
        pytest.param(
            Example("t", "Go on.", "Why?", "So.", "t", reasoning=f"Asked is: {VIGNETTE}"), id="in the thoughts"
        ),
        pytest.param(Example("t", "Go on.", {"note": {"text": [VIGNETTE]}}, {"code": "J45"}, "t"), id="in a field"),
    ],
)
def test_a_copy_is_caught_wherever_it_stands(exam: Screen, thief: Example) -> None:
    assert (exam.find(thief) or Match("", "", "", 0)).item == "v"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(VITALS, id="vital signs"),
        pytest.param(
            "Which of the following is the most appropriate next step in the management of this patient?", id="ask"
        ),
        pytest.param(
            "A 20-year-old dancer sprained her ankle at rehearsal and cannot bear weight on the outer border of that foot. "
            f"{VITALS} There is bruising below the outer malleolus and pain on pressing the base of the fifth metatarsal. "
            "Which of the following is the most appropriate next step in the management of this patient?",
            id="another vignette of the same template",
        ),
    ],
)
def test_a_template_is_no_copy(exam: Screen, text: str) -> None:
    assert exam.find(example(text)) is None


def test_a_run_of_words_that_many_items_have_is_ignored() -> None:
    """Items that are template for the most part: only their own words count."""
    template = (
        "The nurse writes down that the guest of room {} slept well ate everything and asked for more {} at noon today"
    )
    names = ["apples", "bread", "cheese", "dates", "eggs", "figs", "grapes", "honey", "ices", "jam"]
    gate = screen_of(benchmarks(exam=[template.format(number, name) for number, name in enumerate(names)]))
    diary = f"{PAGE} {template.format('twelve', 'wine')} {PAGE}"
    assert len(names) > overlap.TEMPLATE
    assert gate.find(example(diary)) is None
    assert gate.find(example(f"{PAGE} {template.format(3, 'dates')} {PAGE}")) is not None


def numbered(first: int, last: int) -> str:
    return " ".join(f"word{number}" for number in range(first, last))


@pytest.mark.parametrize(
    ("item", "shared", "found"),
    [
        (18, 18, True),
        (18, 17, False),
        (40, 20, True),
        (40, 19, False),
        (200, 58, False),
        (200, 59, True),
        (11, 11, True),
        (11, 10, False),
        (8, 8, True),
        (7, 7, False),
    ],
)
def test_a_page_must_hold_enough_of_an_item(item: int, shared: int, found: bool) -> None:
    """Twenty words on end or all that there are, a quarter of the runs, all of a short item, and none of a shorter one."""
    gate = screen_of(benchmarks(exam=[numbered(0, item)]))
    assert (gate.find(example(f"{PAGE} {numbered(0, shared)} {PAGE}")) is not None) == found


def test_no_run_of_words_goes_from_one_text_of_an_example_to_the_next() -> None:
    gate = screen_of(benchmarks(exam=[numbered(0, 10)]))
    assert gate.find(Example("x", "", numbered(0, 5), numbered(5, 10), "x")) is None
    assert gate.find(Example("x", "Go on.", "Why?", f"{PAGE} {numbered(0, 5)} {numbered(5, 10)}", "x")) is not None


def test_a_question_without_a_rare_word_is_compared_with_its_options() -> None:
    names = [f"{first}{second}in" for first in "abcdef" for second in "lmnpr"]
    drugs = [example(f"Which of the following is true about {name}?", name) for name in names]
    general = Example("g", "Answer.", "Which of the following is true?", "A", "g", ("Cats bark", "Dogs bark"))
    gate = screen_of(items(exam=[*drugs, general]))
    assert gate.find(replace(general, options=("Fish swim", "Birds sing"))) is None
    assert gate.find(replace(general, options=("Dogs bark", "Cats bark"))) == Match("exam", "g", "words", 1.0)


def test_the_rare_word_decides_between_two_short_questions() -> None:
    """Where a template is frequent, `hepcidin` weighs more than the six words around it."""
    names = [f"{first}{second}in" for first in "abcdefghij" for second in ("l", "m", "n", "p", "r", "s", "t", "v", "x")]
    gate = screen_of(benchmarks(exam=[f"All of the following are true about {name} except" for name in names]))
    assert gate.find(example("All of the following are true about hepcidin except")) is None
    assert gate.find(example("About dxin, all of the following are true, except")) == Match("exam", "35", "words", 1.0)


def test_a_question_that_needs_its_options_is_compared_with_them() -> None:
    vague = [
        Example(str(n), "Answer.", "Which statement is false?", "A", "v", (f"The {name} is blue", f"The {name} swims"))
        for n, name in enumerate(["lemur", "badger"])
    ]
    gate = screen_of(items(exam=vague))
    assert gate.find(replace(vague[1], options=vague[1].options[::-1])) == Match("exam", "1", "words", 1.0)
    assert gate.find(replace(vague[1], options=("Oaks have needles", "Firs have cones"))) is None
    assert gate.find(replace(vague[1], options=())) is None


@pytest.mark.parametrize(
    "options",
    [("Lunate", "Scaphoid"), ("Trapezium", "Hamate", "Capitate"), ()],
    ids=["other order", "other options", "no options"],
)
def test_a_question_is_caught_with_any_options(exam: Screen, options: tuple[str, ...]) -> None:
    assert exam.find(replace(CHOICE, options=options)) == Match("exam", "c", "exact", 1.0)


def test_question_and_options_as_one_text_are_caught(exam: Screen) -> None:
    flat = "\n".join([CHOICE.text, "(1) Lunate", "(2) Scaphoid"])
    assert (exam.find(Example("f", "Answer.", flat, "2", "f")) or Match("", "", "", 0)).item == "c"


@pytest.mark.parametrize(
    "text",
    [ASKED, f"{PAGE} {ASKED}", f"{ABSTRACT}\n\nWere there trout?", f"{PAGE}\n{ABSTRACT}"],
    ids=["question alone", "question in a page", "abstract with another question", "abstract in a page"],
)
def test_either_half_of_a_question_on_an_abstract_is_caught(exam: Screen, text: str) -> None:
    assert (exam.find(example(text)) or Match("", "", "", 0)).benchmark == "papers"


def test_the_closest_of_several_items_is_named() -> None:
    gate = screen_of(benchmarks(exam=["a b c d e f", "a b c d e", "a b c d"]))
    assert gate.find(example("E D C B A", "x")) == Match("exam", "1", "words", 1.0)


@pytest.mark.parametrize(("same", "found"), [(10, True), (9, False)])
def test_the_border_counts_as_a_copy(same: int, found: bool) -> None:
    """Of 16 different words, 10 are 0.625 and 9 are 0.5625; with few items all words weigh the same."""
    item, other = [f"word{n}" for n in range(13)], [f"more{n}" for n in range(3)]
    gate = screen_of(benchmarks(exam=[" ".join(item)]))
    shared = item[:same]
    text = " ".join([*reversed(shared), *other])
    assert near.WORDS == 0.6
    assert (gate.find(example(text)) is not None) == found


def test_a_match_names_the_pair_and_not_its_texts() -> None:
    match = screen_of(benchmarks(exam=[ITEM])).find(example(ITEM, "thief"))
    assert match and asdict(match) == {"benchmark": "exam", "item": "0", "rule": "exact", "similarity": 1.0}


def test_only_the_benchmarks_named_are_screened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contamination, "benchmarks", benchmarks(exam=[ITEM], other=["Benign neoplasm of the eyelid"]))
    assert Screen(["other"]).find(example(ITEM)) is None
    assert Screen(["other"], required={"exam"}).items == {"other": 1, "exam": 1}
    with pytest.raises(MedslmError, match="no benchmark is called 'exma'; did you mean 'exam'"):
        Screen(["exma"])


@dataclass(frozen=True)
class Unplugged:
    """A source that gives one row, and then cannot be reached."""

    name: str = "far/away"

    def rows(self) -> Iterable[Mapping[str, Any]]:
        yield {"example": example(ITEM)}
        raise MedslmError("far/away cannot be reached; connect to the network")

    def version(self) -> str:
        return "1"


def test_a_benchmark_that_cannot_be_read_is_said_and_no_part_of_it_is_used() -> None:
    registry = benchmarks(near=["Benign neoplasm of the left eyelid"])
    registry.add("far", Benchmark(Unplugged(), "mit", "all", as_it_is))
    gate = screen_of(registry, ["near"])
    assert gate.missing == {"far": "far/away cannot be reached; connect to the network"}
    assert gate.items == {"near": 1}
    assert gate.find(example(ITEM)) is None


def test_a_benchmark_that_judges_the_run_must_be_readable() -> None:
    registry = benchmarks(empty=[])
    registry.add("far", Benchmark(Unplugged(), "mit", "all", as_it_is))
    with pytest.raises(
        MedslmError, match=r"benchmark 'far' judges the result, .* cannot be read here: far/away cannot"
    ):
        screen_of(registry, ["far"])
    with pytest.raises(MedslmError, match="benchmark 'empty' judges the result, but toy gives no items"):
        screen_of(registry, ["empty"])


def test_an_exam_without_items_finds_nothing() -> None:
    gate = screen_of(benchmarks(exam=[], blank=["...", ""]))
    assert gate.items == {"exam": 0, "blank": 2}
    assert [gate.find(example(text)) for text in (ITEM, VIGNETTE, "", "...")] == [None] * 4


def test_a_worker_finds_what_this_process_finds(exam: Screen) -> None:
    """In a process of its own, words get the same numbers, whatever Python's hash of a text is there."""
    thieves = [example(VIGNETTE), example(changed(VIGNETTE, 10)), CHOICE, example(PAGE)]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(exam.find, thieves) == [exam.find(thief) for thief in thieves]


def test_the_same_items_make_the_same_screen_and_others_another_digest() -> None:
    one, same, other = (screen_of(benchmarks(exam=[ITEM, last])) for last in (VIGNETTE, VIGNETTE, ABSTRACT))
    assert pickle.dumps(one) == pickle.dumps(same)
    assert one.digest == same.digest != other.digest


def test_a_screen_is_small() -> None:
    order = random.Random(1)
    texts = [" ".join(f"word{int(order.paretovariate(0.4)) % 20_000}" for _ in range(150)) for _ in range(200)]
    assert len(pickle.dumps(screen_of(benchmarks(exam=texts)))) < 200 * 150 * 40  # bytes a word


def test_an_article_is_kept_as_a_sketch_and_found() -> None:
    """Of a long item only some runs and phrases are kept; what is found of it is then an estimate."""
    article = [f"word{n % 977}x{n % 13}" for n in range(4000)]
    gate = screen_of(benchmarks(exam=[" ".join(article)]))
    half, tenth = " ".join(article[:2000]), " ".join(article[:400])
    assert len(pickle.dumps(gate)) < 4000 * 40
    assert (gate.find(example(half)) or Match("", "", "", 0)).similarity == pytest.approx(0.5, abs=0.1)
    assert gate.find(example(" ".join(article[1:]))) is not None
    assert gate.find(example(tenth)) is None


CASES = (str.upper, str.lower, str.title, str.swapcase)


@given(
    number=st.integers(0, 2),
    order=st.randoms(use_true_random=False),
    case=st.sampled_from(CASES),
    blanks=st.lists(st.sampled_from([" ", "\n", "\t", "  ", "\u00a0", "\u2003", " - ", "; "]), min_size=1),
)
@settings(deadline=None, derandomize=True)
def test_any_order_of_options_case_and_white_space_is_found(
    exam: Screen, number: int, order: random.Random, case: Any, blanks: list[str]
) -> None:
    item = [Example("v", "Answer.", VIGNETTE, "A", "v", OPTIONS), CHOICE, ABSTRACT_ITEM][number]
    text = "".join(word + order.choice(blanks) for word in item.text.split())
    options = tuple(case(option) for option in order.sample(item.options, len(item.options)))
    match = exam.find(replace(item, input=case(text), options=options))
    assert match is not None and (match.item, match.similarity) == (item.id, 1.0)
