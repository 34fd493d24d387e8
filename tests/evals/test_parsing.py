"""Which answer a reply gives, in the shapes that models write; and that none is guessed."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from medslm.evals import parsing
from medslm.evals.parsing import CONTRADICTING, DISAGREE, EMPTY, NOTHING, SEVERAL, UNFINISHED, UNKNOWN, Reading, read

DRUGS = ("Aspirin", "Ibuprofen", "Naproxen", "Codeine")
DECISIONS = ("yes", "no", "maybe")
GROUPS = ("A", "B", "AB", "O")
GERMS = ("E. coli", "S. aureus", "H. pylori", "C. difficile", "Candida")

READ = [
    ("The answer is (B).", "B", "answer stated"),
    ("**Answer: C**", "C", "answer line"),
    ("Answer: b", "B", "answer line"),
    ("Let's think.\nAspirin is bad for the stomach.\n\nAnswer: D", "D", "answer line"),
    ("Answer:\nC", "C", "answer stated"),
    ("Answer is: 'C'", "C", "answer line"),
    ("Answer: (b) ibuprofen", "B", "answer line"),
    ("Answer: B. Ibuprofen", "B", "answer line"),
    ("Letter: B", "B", "answer line"),
    ("Final Answer: **(D) Codeine**", "D", "answer line"),
    ("I think it's either A or B... final answer: D", "D", "final answer"),
    ("So $\\boxed{\\text{B}}$.", "B", "answer line"),
    ("The answer is B. I repeat: the answer is B.", "B", "answer stated"),
    ("Answer: B\nSo the answer is B.", "B", "answer line"),
    ("Answer: B (Ibuprofen)", "B", "answer line"),
    ("C, and not A", "C", "first words"),
    ("The answer is B, because A is wrong.", "B", "answer stated"),
    ("Answer: B, A patient like this needs it", "B", "answer line"),
    ("Answer: B (not A)", "B", "answer line"),
    ("The correct answer is B: Ibuprofen", "B", "answer stated"),
    ("the best option would be naproxen", "C", "answer stated"),
    ("Correct choice: C", "C", "answer line"),
    ("answer is option b.", "B", "answer stated"),
    ("Option C is correct.", "C", "option judged"),
    ("I think B is correct", "B", "option judged"),
    ("So C. Naproxen is correct", "C", "option judged"),
    ("Therefore, B) Ibuprofen is the most appropriate choice.", "B", "option judged"),
    ("I would go with D.", "D", "option chosen"),
    ("It is B.", "B", "option chosen"),
    ("B", "B", "last line"),
    ("b", "B", "last line"),
    ("__B__", "B", "last line"),
    ("（Ｂ）", "B", "last line"),
    ("【C】", "C", "last line"),
    ("「B」", "B", "last line"),
    ("Ⓑ", "B", "last line"),
    ("D. Codeine", "D", "last line"),
    ("Ibuprofen.", "B", "last line"),
    ("The pain is mild.\n\nC", "C", "last line"),
    ("B) ibuprofen because it is mild", "B", "first words"),
    ("B because it is mild", "B", "first words"),
    ("B. Because of COX", "B", "first words"),
    ("B\n\nIt is mild on the kidney.", "B", "first words"),
    ("The patient needs naproxen.", "C", "only words"),
    ("After all I lean to (C)", "C", "only letter"),
    ("<think>\nThe answer is A\n</think>\nAnswer: B", "B", "answer line"),
    ("<response>\nB\n</response>", "B", "last line"),
    ("Ans. B", "B", "answer line"),
    ("[Answer] C", "C", "answer line"),
    ("<answer>C</answer>", "C", "answer line"),
    ("Let's go with B.", "B", "option chosen"),
    ("This leaves C as the answer.", "C", "option chosen"),
    ("Thus, D.", "D", "answer line"),
    # an answer, a working that comes back to it, and one word on another option
    ("A. Aspirin\n\nStep 1: Name the drug.\n- Aspirin thins blood.\n\nD. Codeine is an opioid.", "A", "first words"),
    ("Answer: B\n\nQuestion: Which drug is next?\nAnswer: C", "B", "answer line"),
]
UNREADABLE = [
    ("", EMPTY),
    (" \n", EMPTY),
    ("<think>The answer is A", UNFINISHED),
    ("I cannot help with that.", NOTHING),
    ("The answer is A. No wait, the answer is B.", CONTRADICTING),
    ("Option A is correct. Option C is correct.", CONTRADICTING),
    ("Final answer: C\n\nWait, actually the answer is B.", CONTRADICTING),
    ("Answer: C\nAnswer: D", CONTRADICTING),
    ("Answer: B (Naproxen)", DISAGREE),
    ("C is wrong", NOTHING),
    ("C is not the answer", NOTHING),
    ("Naproxen is wrong.", NOTHING),
    ("Naproxen isn't given here.", NOTHING),
    ("Answer: A and C", SEVERAL),
    ("Answer: A/B", SEVERAL),
    ("I think it's either A or B.", SEVERAL),
    ("Answer: A) Aspirin, B) Ibuprofen", SEVERAL),
    ("Answer: Aspirin or ibuprofen", SEVERAL),
    ("Answer: E", UNKNOWN),
    ("Answer: B. Naproxen", DISAGREE),
    ("So C. Aspirin is correct", DISAGREE),
    ("B) aspirin is wrong, since", DISAGREE),
    ("The answer is a beta blocker", NOTHING),
    ("The answer is not A", NOTHING),
    ("A patient with fever needs rest", NOTHING),
    ("C-reactive protein is raised", NOTHING),
    ("Hepatitis B is most likely.", NOTHING),
    ("Option C is not correct.", NOTHING),
    ("Not aspirin.", NOTHING),
    ("Aspirin and codeine", NOTHING),
    ("Both (A) and (B) are plausible", NOTHING),
    ("A) Aspirin is wrong.\nB) Ibuprofen is wrong.\nC) ...", NOTHING),
    ("1", NOTHING),
    ("If the answer is A, then the pain persists.", NOTHING),
    ("This leaves a scar.", NOTHING),
    ("Conclusion: a drug is needed", NOTHING),
    # the question and its options said again, and cut
    ("Which drug is mild?\n\nA. Aspirin\nB. Ibupr", NOTHING),
    ("A. Aspirin\n\n- A. Aspirin\n- B. Ibuprofen\n- C. Naproxen\n\nStep 2: - A. Aspirin: a mild one", NOTHING),
    ("A. Aspirin\nB. Ibuprofen\nC. Naproxen\nD. Codeine\nA. Aspirin", NOTHING),  # a small model loops
]


@pytest.mark.parametrize(("reply", "letter", "rule"), READ)
def test_an_answer_is_read_by_the_rule_that_is_named(reply: str, letter: str, rule: str) -> None:
    assert read(reply, DRUGS) == Reading(letter, rule)


@pytest.mark.parametrize(("reply", "failure"), UNREADABLE)
def test_what_is_no_single_answer_is_unparseable_and_says_why(reply: str, failure: str) -> None:
    assert read(reply, DRUGS) == Reading(None, failure)
    assert failure in parsing.FAILURES


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("answer: yes", "A"),
        ("Yes, because the study shows it.", "A"),
        ("No.", "B"),
        ("Answer: maybe", "C"),
        ("The answer to this question is yes.", "A"),
        ("There is no evidence for it.", None),
        ("yes or no", None),
        ("Answer: yes/no", None),
    ],
)
def test_a_decision_in_words_is_its_letter(reply: str, letter: str | None) -> None:
    assert read(reply, DECISIONS).letter == letter


@pytest.mark.parametrize(("reply", "letter"), [("The answer is A", "A"), ("Answer: AB", "C"), ("Answer: O", None)])
def test_options_that_are_letters_are_named_by_their_place(reply: str, letter: str | None) -> None:
    assert read(reply, GROUPS).letter == letter


@pytest.mark.parametrize(("reply", "letter"), [("The answer is E. coli", "A"), ("Answer: E", "E"), ("E) Candida", "E")])
def test_the_e_of_a_bacterium_is_no_letter_of_an_option(reply: str, letter: str) -> None:
    assert read(reply, GERMS).letter == letter
    assert read("The answer is B. anthracis", GERMS).letter is None


def test_an_option_that_contains_another_is_the_one_that_is_meant() -> None:
    options = ("Aspirin", "Aspirin and clopidogrel", "Both A and B", "The aorta")
    assert read("The answer is aspirin and clopidogrel", options).letter == "B"
    assert read("The patient gets aspirin and clopidogrel.", options).letter == "B"
    assert read("The answer is both A and B", options).letter == "C"
    assert read("The answer is the aorta", options).letter == "D"


def test_words_that_two_options_share_choose_neither() -> None:
    assert read("Answer: aspirin", ("Aspirin", "aspirin", "Codeine")) == Reading(None, SEVERAL)


BEFORE = (
    "",
    "The patient has mild pain and no ulcer.\n\n",
    "Step 1: The stomach is at risk.\nStep 2: Choose a mild drug.\n",
    "Aspirin irritates the stomach, and codeine is an opioid.\n\n",
    "A. Aspirin: irritates the stomach.\nB. Ibuprofen: mild.\nC. Naproxen: slow.\nD. Codeine: an opioid.\n\n",
    "Option A is wrong because of bleeding. Option D is not needed.\n",
    "A patient like this lacks vitamin B; hepatitis C is excluded, and an E. coli sepsis too.\n",
    "If the answer is A, then the pain persists.\n",
    "<think>\nMaybe the answer is A, or B.\n</think>\n",
    "<think>\nThe answer is D.\n</think>\n<response>\n",
)
CUES = (
    *(
        "Answer: ",
        "**Answer:** ",
        "ANSWER: ",
        "Answer:",
        "Answer - ",
        "Answer – ",
        "Ans. ",
        "Answer:\n",
        "Final answer: ",
    ),
    *("The answer is ", "The correct answer is ", "So the answer is ", "My final answer is ", "The answer must be "),
    *("The best option would be ", "The most appropriate choice is ", "The right option is ", "Correct choice: "),
    *(
        "### Answer\n",
        "### Final Answer\n",
        "The correct option is:\n\n",
        "Selected option: ",
        "My choice: ",
        "Choice: ",
    ),
    *(
        "Answer: The correct option is ",
        "Answer: Option ",
        "I choose ",
        "I would pick ",
        "We select option ",
        "Conclusion: ",
    ),
    *(
        "Based on this, the best answer is ",
        "The letter of the right option is ",
        "Hence, the answer: ",
        "Let's go with ",
    ),
)
NAMES = (
    "{L}",
    "({L})",
    "**{L}**",
    "{L}. {W}",
    "**{L}. {W}**",
    "{L}) {W}",
    "({L}) {W}",
    "{L}: {W}",
    "{L} ({W})",
    "{L} - {W}",
)
AFTER = ("", ".", "\n\nI hope this helps!", "\n</response>")
LAST = (
    "\\boxed{{{L}}}",
    "$\\boxed{{\\text{{{L}}}}}$",
    "<answer>{L}</answer>",
    "{L} is the best answer.",
    "{L}",
    "({L})",
    "{L}.",
)


@given(
    st.sampled_from(BEFORE),
    st.one_of(
        st.tuples(st.sampled_from(CUES), st.sampled_from(NAMES), st.sampled_from(AFTER)).map("".join),
        st.sampled_from(LAST),
    ),
    st.sampled_from(range(4)),
)
def test_a_reply_that_names_one_option_at_its_end_is_read_as_that_option(before: str, end: str, at: int) -> None:
    said = before + end.format(L="ABCD"[at], W=DRUGS[at])
    assert read(said, DRUGS).letter == "ABCD"[at]


PIECES = st.sampled_from(
    ["answer", " is ", "A", "b", "(C)", ":", ".", "\n", "not ", "option ", "Aspirin", "<think>", "ß", "İ"]
)


@given(st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=12).map("".join)))
@example("*")  # of which nothing is left without its marks
def test_any_text_is_read_without_an_error(reply: str) -> None:
    found = read(reply, DRUGS)
    assert (found.letter is None) == (found.rule in parsing.FAILURES)
    assert found.letter in (None, *"ABCD")
    assert found.letter is None or found.rule in parsing.RULES
