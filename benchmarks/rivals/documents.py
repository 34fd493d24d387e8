"""The documents that all rivals learn from: random tokens with lengths as in practice, or real ones from a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rivals.shapes import TOKENS

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]


@dataclass(frozen=True)
class Documents:
    """Token ids, and which of them carry loss."""

    tokens: list[Array]
    """Each (L,)."""

    learnt: list[Array]
    """1 where a token carries loss. Each (L,)."""

    @property
    def lengths(self) -> Array:
        """Tokens of each document. (D,)"""
        import numpy

        return numpy.array([len(tokens) for tokens in self.tokens])

    @property
    def share(self) -> float:
        """The part of the tokens that carries loss; the first of a document cannot."""
        return float(sum(int(mask[1:].sum()) for mask in self.learnt) / self.lengths.sum())

    def masked(self) -> Any:
        """As TRL and Unsloth take them: `input_ids` and `completion_mask`."""
        import datasets

        rows = {"input_ids": [t.tolist() for t in self.tokens], "completion_mask": [m.tolist() for m in self.learnt]}
        return datasets.Dataset.from_dict(rows)

    def labelled(self) -> Any:
        """As MedSLM keeps its rows: `input_ids`, `labels` and `length`."""
        import datasets
        import numpy

        labels = [numpy.where(mask, tokens, -100) for tokens, mask in zip(self.tokens, self.learnt)]
        rows = {"input_ids": self.tokens, "labels": labels, "length": self.lengths}
        return datasets.Dataset.from_dict(rows)


def read(source: str, mode: str, vocabulary: int, number: int, longest: int) -> Documents:
    """`number` documents of at most `longest` tokens; `mode` is `all` or `completion`, the tokens that carry loss.

    `source` is `random`, or a .npz file with `tokens` (T,), `lengths` (D,) and the mask `completion` (T,). Raises
    `SystemExit` for tokens that the vocabulary does not have. No document is cut: longer ones of a file are left out.
    """
    import numpy

    if source == "random":
        made = _random(vocabulary, number, longest)
    else:
        made = _kept(Path(source), number, longest)
        if (highest := max(int(tokens.max()) for tokens in made.tokens)) >= vocabulary:
            raise SystemExit(
                f"{source} holds token {highest}, and this base has {vocabulary}: tokenize it for this one"
            )
    if mode == "completion":
        return made
    return Documents(made.tokens, [numpy.ones(len(tokens), "i1") for tokens in made.tokens])


def _random(vocabulary: int, number: int, longest: int) -> Documents:
    """Lognormal lengths, median 420 and sigma 0.75, from 32 tokens on; the second half of each carries loss."""
    import numpy

    random = numpy.random.default_rng(0)
    lengths = random.lognormal(numpy.log(420), 0.75, number).clip(32, longest).astype(int)
    tokens = [random.integers(TOKENS, vocabulary, length) for length in lengths]
    return Documents(tokens, [(numpy.arange(length) >= length // 2).astype("i1") for length in lengths])


def _kept(path: Path, number: int, longest: int) -> Documents:
    import numpy

    with numpy.load(path) as file:
        ends = numpy.cumsum(file["lengths"])[:-1]
        tokens, masks = numpy.split(file["tokens"].astype("i8"), ends), numpy.split(file["completion"], ends)
    fitting = [place for place, document in enumerate(tokens) if len(document) <= longest]
    if not fitting:
        raise SystemExit(f"{path} holds no document of {longest} tokens or less")
    usable = fitting[:number]
    over = len(tokens) - len(fitting)
    print(f"{len(usable)} documents of {path.name}; {over} left out, longer than {longest} tokens")
    return Documents([tokens[one] for one in usable], [masks[one].astype("i1") for one in usable])
