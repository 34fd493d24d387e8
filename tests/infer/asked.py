"""What two engines are asked, and how much alike their answers must be."""

from collections.abc import Sequence

QUESTIONS = (
    "What is fever?",
    "What does insulin do?",
    "What is the normal heart rate of an adult?",
    "What is a placebo?",
)
CONTINUATIONS = ("Fever is a rise in body temperature.", "It lowers blood sugar.", "Yes", "A")
TOKENS, SAME = 12, 4
NATS = 0.5  # a token, at most


def begins(ids: Sequence[Sequence[int]], others: Sequence[Sequence[int]]) -> bool:
    """True if replies begin with the same tokens, all but one at most: a near tie is rounded either way."""
    return sum(one[:SAME] == two[:SAME] for one, two in zip(ids, others, strict=True)) >= len(ids) - 1
