"""What two engines are asked, and how much alike their answers must be."""

QUESTIONS = (
    "What is fever?",
    "What does insulin do?",
    "What is the normal heart rate of an adult?",
    "What is a placebo?",
)
CONTINUATIONS = ("Fever is a rise in body temperature.", "It lowers blood sugar.", "Yes", "A")
TOKENS, SAME = 12, 4
NATS = 0.5  # a token, at most
