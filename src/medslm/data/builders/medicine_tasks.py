"""Three biomedical tasks as filled-in prompts with solved examples before them (AdaptLLM, arXiv:2309.09530).

The rows are test items of ChemProt, MQP and RCT, published to reproduce a paper's scores: whoever learns from them may
not be judged on those three. The configurations USMLE and PubMedQA hold the test items of benchmarks registered here, so
they are no corpora.
"""

from __future__ import annotations

from collections.abc import Iterator

from medslm.data.builders.reading import family_of, filled, fingerprint
from medslm.data.corpus import Corpus, Row, corpora
from medslm.data.example import Example
from medslm.data.sources.hub import Dataset
from medslm.errors import MedslmError

INSTRUCTION = "Continue with the right answer."
TASKS = {
    "ChemProt": "relations of chemicals and proteins",
    "MQP": "medical questions that mean the same",
    "RCT": "roles of sentences in abstracts of trials",
}


def filled_in(row: Row) -> Iterator[Example]:
    """The prompt, which ends where the answer begins, and the right one of its options."""
    prompt, options, key = filled(row["input"], "question"), row["options"], row["gold_index"]
    if not isinstance(options, (list, tuple)) or type(key) is not int:
        raise MedslmError(
            f"the prompt '{prompt[:60]}' has options {str(options)[:60]} and gold_index {key!r}, where a list and a number "
            "were expected: the data has changed its shape"
        )
    if not 0 <= key < len(options):
        raise MedslmError(f"gold_index of the prompt '{prompt[:60]}' is {key}, but it has {len(options)} options")
    answer = filled(options[key], "answer")
    yield Example(fingerprint(prompt, answer), INSTRUCTION, prompt, answer, family_of(prompt))


for _config, _task in TASKS.items():
    corpora.add(
        f"medicine-tasks-{_config.lower()}",
        Corpus(
            Dataset("AdaptLLM/medicine-tasks", _config, "test"),  # its only split
            "unknown",  # the card states none
            _task,
            ("input", "options", "gold_index"),
            filled_in,
        ),
    )
