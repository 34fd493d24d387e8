"""Study `similarity`: BERTScore of the kept replies, by a local encoder, and how long the replies are.

BERTScore (arXiv:1904.09675) matches each token of the reply with the likest of the reference, by an encoder's vectors. The
encoder is a folder that `MEDSLM_BERTSCORE` names; nothing is downloaded, and without one the study says so. Figures of
different encoders or layers cannot be compared, so both are told; they are not rescaled by a baseline. As the package has
it, the ends of a text ([CLS], [SEP]) may be matched and carry no weight.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medslm import files
from medslm.errors import MedslmError
from medslm.evals import statistics
from medslm.evals.clinical.writing import response
from medslm.evals.statistics import Difference
from medslm.evals.study import Case, Study
from medslm.evals.trust import lines

if TYPE_CHECKING:
    from medslm.evals.harness import Outcome

VARIABLE, LAYER = "MEDSLM_BERTSCORE", "MEDSLM_BERTSCORE_LAYER"
EXTRA = 'pip install "medslm[bertscore]"'
KINDS = ("precision", "recall", "f1")
ROOM = 512
"""Tokens that an encoder reads if its tokenizer does not say; a longer text is read up to there, and counted."""
FEWEST = 2
BATCH = 16


@dataclass(frozen=True)
class Encoder:
    """A local encoder, read up to one of its layers."""

    folder: Path
    layer: int
    """From 1; its output are the vectors that are compared."""

    digest: str
    """SHA-256 of its weights."""

    @classmethod
    def given(cls) -> Encoder | None:
        """The encoder that the environment names; none if it names none.

        Without `MEDSLM_BERTSCORE_LAYER` the layer is the one at three quarters of the depth, where the layers that agree
        best with people lie (9 of BERT-base's 12, 17 of RoBERTa-large's 24, by bert-score's table). Raises `MedslmError`
        for a folder that holds no encoder, and for a layer that it does not have.
        """
        if not (told := os.environ.get(VARIABLE)):
            return None
        folder = Path(told).expanduser().resolve()
        weights = next((path for path in map(folder.joinpath, _WEIGHTS) if path.is_file()), None)
        if weights is None or not (folder / "config.json").is_file():
            raise MedslmError(
                f"{VARIABLE} names {folder}, which holds no config.json with {' or '.join(_WEIGHTS)}; give the folder "
                "of an encoder in transformers' format"
            )
        if "t5" in str(folder):
            raise MedslmError(f"bert-score takes {folder} for a T5 model by its name; make a link to it without 't5'")
        depth = files.read_json(folder / "config.json", made_by="its author").get("num_hidden_layers", 0)
        wanted = os.environ.get(LAYER) or str(max(1, round(0.75 * depth)))
        if not wanted.isdigit() or not 1 <= int(wanted) <= depth:
            raise MedslmError(f"layer {wanted} of {folder} was asked for by {LAYER}, but it has layers 1 to {depth}")
        return cls(folder, int(wanted), files.sha256(weights))


_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


class Scorer:
    """BERTScore by one encoder. Raises `MedslmError` where bert-score is not installed."""

    def __init__(self, encoder: Encoder, device: str = "cpu") -> None:
        try:
            from bert_score import BERTScorer  # type: ignore[import-not-found,import-untyped,unused-ignore]
        except ImportError as error:
            raise MedslmError(f"{VARIABLE} names an encoder, but bert-score is not installed; {EXTRA}") from error
        with _silent():
            self._scorer = BERTScorer(
                model_type=str(encoder.folder),
                num_layers=encoder.layer,
                batch_size=BATCH,
                device=device,
                use_fast_tokenizer=True,
            )
        self._tokenizer = self._scorer._tokenizer  # bert-score 0.3.13 has no public way to it
        # a tokenizer that states no limit has 10^30, at which the one in Rust overflows
        self._tokenizer.model_max_length = self.room = min(ROOM, self._tokenizer.model_max_length)

    def score(self, references: Sequence[str], replies: Sequence[str]) -> list[dict[str, float]]:
        """Precision, recall and F1 of each reply; 0 for an empty one, of which bert-score can say nothing."""
        found = [dict.fromkeys(KINDS, 0.0) for _ in replies]
        filled = [place for place, pair in enumerate(zip(references, replies)) if all(text.strip() for text in pair)]
        if filled:
            columns = self._scorer.score([replies[n] for n in filled], [references[n] for n in filled])
            for place, values in zip(filled, zip(*(column.tolist() for column in columns))):
                found[place] = dict(zip(KINDS, values))
        return found

    def too_long(self, texts: Sequence[str]) -> int:
        """How many texts have more tokens than the encoder reads."""
        return sum(len(self._tokenizer(text, verbose=False)["input_ids"]) > self.room for text in texts)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """The weights of an encoder's head are not used, which transformers warns of."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def measure(case: Case) -> dict[str, Any]:
    """BERTScore and lengths of every task whose replies are texts, by side, and paired differences under Holm."""
    encoder = Encoder.given()
    scorer = Scorer(encoder, case.engine.model.device.type) if encoder else None
    told: dict[str, Any] = {}
    found: dict[tuple[str, str], Difference] = {}
    for name, outcomes in _written(case):
        told[name], of_task = _task(scorer, outcomes)
        found |= {(name, kind): one for kind, one in of_task.items()}
    return {
        "encoder": encoder and {"name": encoder.folder.name, "sha256": encoder.digest, "layer": encoder.layer},
        "rescaled": False,
        "tasks": told,
        "differences": lines.family(found, frozenset()),
    }


def _written(case: Case) -> Iterator[tuple[str, dict[str, Sequence[Outcome]]]]:
    """The tasks whose keys and replies are texts, with the outcomes of both sides."""
    for name, first in next(iter(case.outcomes.values())).items():
        if first and all(isinstance(one.key, str) and one.reply is not None and not one.letters for one in first):
            yield name, {side: of_side[name] for side, of_side in case.outcomes.items()}


def _task(
    scorer: Scorer | None, outcomes: Mapping[str, Sequence[Outcome]]
) -> tuple[dict[str, Any], dict[str, Difference]]:
    """One task: as JSON, and adapter less base of BERTScore's F1."""
    sides: dict[str, Any] = {}
    f1: dict[str, list[float]] = {}
    for side, of_side in outcomes.items():
        references, replies = [str(one.key) for one in of_side], [response(one.reply or "") for one in of_side]
        ratios = [len(reply.split()) / len(key.split()) for reply, key in zip(replies, references) if key.split()]
        sides[side] = {
            "length_ratio": _figure(ratios),
            "empty": sum(not reply for reply in replies),
            "cut": sum(bool(one.cut) for one in of_side),
        }
        if scorer:
            values = scorer.score(references, replies)
            sides[side] |= {kind: _figure([value[kind] for value in values]) for kind in KINDS}
            sides[side]["read_in_part"] = scorer.too_long([*references, *replies])
            f1[side] = [value["f1"] for value in values]
    n = len(next(iter(outcomes.values())))
    told = {"n": n, "sides": sides}
    if len(f1) < 2 or n < FEWEST:
        return told, {}
    return told, {"f1": statistics.difference(f1["base"], f1["adapter"])}


def _figure(values: Sequence[float]) -> dict[str, Any] | None:
    return statistics.estimate(list(values)).as_json() if len(values) >= FEWEST else None


def text(told: Mapping[str, Any]) -> str:
    """Lines for a terminal."""
    encoder = told["encoder"]
    if encoder:
        what = f"BERTScore by {encoder['name']}, layer {encoder['layer']}, not rescaled"
    else:
        what = f"BERTScore: not measured: give an encoder, {VARIABLE}=FOLDER"
    head = ("task", "side", "n", "F1 [95 %]", "reply/reference words [95 %]", "empty", "cut", "read in part")
    rows = [
        (
            *(name, side, f"{task['n']:,}", lines.number(of_side.get("f1")), lines.number(of_side["length_ratio"], 2)),
            *(str(of_side["empty"]), str(of_side["cut"]), str(of_side.get("read_in_part", "-"))),
        )
        for name, task in told["tasks"].items()
        for side, of_side in task["sides"].items()
    ]
    tables = lines.aligned([head, *rows], left=2) if rows else ["No task of the suite asks for a text."]
    return lines.text([what, *tables, *(lines.differences(told["differences"]) if encoder else [])])


STUDY = Study(measure, text)
