"""What cannot be written: an example that a format or a tokenizer refuses, with a reason that can be counted."""

from __future__ import annotations

from medslm.errors import MedslmError


class Unwritable(MedslmError):
    """One example cannot be written as it is; whoever works through many leaves it out and counts `reason`."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(reason, sentence)  # both, or a worker process could not send it back
        self.reason = reason
        """Few words, the same for all examples of a kind: `special token in the text`."""
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence
