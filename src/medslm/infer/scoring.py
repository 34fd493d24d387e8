"""Log-likelihoods of rival continuations: whole questions packed into passes, and logits only where they are asked for."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medslm.errors import MedslmError
from medslm.infer.arithmetic import arithmetic, followed
from medslm.infer.engine import Score
from medslm.infer.questions import Question

if TYPE_CHECKING:  # importing this module imports no torch
    import numpy
    import torch

    from medslm.models.prefixes import Paths

    Array = numpy.ndarray[Any, Any]

ON_CPU = 4_096  # tokens of a pass; more gain nothing on two cores
ON_GPU = 32_768  # as many keep an H100 busy
LEAST = 16  # tokens that two prompts must share: putting fewer before each costs more than reading them twice
SEEN = 4  # a pass may gather so many times its tokens as keys


@dataclass(frozen=True)
class Reading:
    """One pass over packed questions: T tokens, N places asked, M tokens to be likely there, C continuations."""

    input_ids: torch.Tensor
    """(1, T) int64."""

    position_ids: torch.Tensor
    """(1, T) int64."""

    paths: Paths
    """What each token sees."""

    places: torch.Tensor
    """(N,) int64: whose next token is asked for."""

    rows: torch.Tensor
    """(M,) int64: at which of `places`."""

    targets: torch.Tensor
    """(M,) int64: which token."""

    starts: Array
    """(C,): where each continuation begins in `targets`."""

    indices: list[int]
    """(C,): which of the pairs it is."""


class Packed:
    """Scores by passes of about as many tokens, over any number of questions."""

    def __init__(self, model: Any, tokens: int | None = None) -> None:
        self._model = model
        self.tokens = room(model) if tokens is None else tokens
        """Of a pass; fewer once the device's memory was full."""
        self._told = False  # that memory was full

    def score(self, questions: Sequence[Question]) -> Iterator[tuple[int, Score]]:
        """Each pair's place and score, in any order.

        Too little memory halves the passes from there on. Raises `MedslmError` where one question does not fit.
        """
        for found in self._all(questions):
            yield from _totals(*found)

    def by_token(self, questions: Sequence[Question]) -> Iterator[tuple[int, list[float]]]:
        """Each pair's place and the log-probability of each token of its continuation, in any order. As `score`."""
        for one, chosen, _ in self._all(questions):
            ends = [*one.starts[1:], len(one.targets)]
            every = chosen.double().cpu().numpy()
            yield from ((index, every[slice(*part)].tolist()) for index, *part in zip(one.indices, one.starts, ends))

    def _all(self, questions: Sequence[Question]) -> Iterator[tuple[Reading, torch.Tensor, torch.Tensor]]:
        """All passes with what `_targets` finds in each."""
        from medslm.models import fast, prefixes

        with prefixes.use(self._model, max(question.longest for question in questions)), fast.reading(self._model):
            for exact in (True, False):
                kind = sorted((one for one in questions if one.exact == exact), key=lambda one: one.prompt)
                yield from self._passes(kind, exact)

    def _passes(self, questions: list[Question], exact: bool) -> Iterator[tuple[Reading, torch.Tensor, torch.Tensor]]:
        """The host reads the numbers of a pass when the next one has been given to the device."""
        before: tuple[Reading, torch.Tensor, torch.Tensor] | None = None
        shares = self._shares(questions)
        while shares:
            found = self._run(shares[-1], exact)
            if found is None:
                self._halve(shares[-1])
                shares = self._shares([question for share in reversed(shares) for question in share])
                continue
            shares.pop()
            if before is not None:
                yield before
            before = found
        if before is not None:
            yield before

    def _shares(self, questions: Sequence[Question]) -> list[list[Question]]:
        return share_out(questions, self.tokens)[::-1]

    def _run(self, questions: Sequence[Question], exact: bool) -> tuple[Reading, torch.Tensor, torch.Tensor] | None:
        """The reading, log-probability of each target and whether it is the likeliest (M,); none if memory was full."""
        import torch

        one = lay(questions)
        try:
            with arithmetic(self._model, exact):
                return one, *self._targets(one)
        except torch.OutOfMemoryError:
            return None

    def _targets(self, one: Reading) -> tuple[torch.Tensor, torch.Tensor]:
        device = self._model.device
        ids, positions, places, rows, targets = (
            part.to(device, non_blocking=True)
            for part in (one.input_ids, one.position_ids, one.places, one.rows, one.targets)
        )
        inputs = {"input_ids": ids, "position_ids": positions, "use_cache": False, "paths": one.paths.to(device)}
        return followed(self._model, inputs, places, rows, targets)

    def _halve(self, share: Sequence[Question]) -> None:
        import torch

        tokens = sum(map(cost, share))
        if len(share) == 1:
            raise MedslmError(
                f"a question of {tokens} tokens does not fit into the device's memory; choose a smaller base or "
                "quantization=nf4"
            )
        self.tokens = min(self.tokens, tokens) // 2
        torch.cuda.empty_cache()
        if not self._told:
            print(
                f"note: the device's memory is full; passes have {self.tokens} tokens from here on, or fewer",
                file=sys.stderr,
            )
            self._told = True


def room(model: Any) -> int:
    """Tokens of a pass: on a GPU as many as leave half of its free memory for what is not counted here."""
    import torch

    if model.device.type != "cuda":
        return ON_CPU
    config = model.config.get_text_config(decoder=True)
    hidden = config.hidden_size
    wide = getattr(config, "intermediate_size", None) or 4 * hidden
    free = torch.cuda.mem_get_info(model.device)[0]
    free += torch.cuda.memory_reserved(model.device) - torch.cuda.memory_allocated(model.device)
    each = model.dtype.itemsize * (8 * hidden + 4 * wide)  # the residual stream, q, k, v and keys gathered; the MLP
    return int(max(1_024, min(ON_GPU, free // 2 // each)))


def share_out(questions: Sequence[Question], tokens: int) -> list[list[Question]]:
    """The questions, in order, in passes of about equal size: up to so many tokens to read.

    A question is never split: one that is larger has a pass of its own.
    """
    if not questions:
        return []
    same = [0, *(shared(one.prompt, other.prompt) for one, other in itertools.pairwise(questions))]
    costs = [cost(question) - less for question, less in zip(questions, same)]
    even = sum(costs) // -(-sum(costs) // tokens) + max(costs)
    limits = (min(tokens, even), SEEN * tokens)
    shares: list[list[Question]] = []
    used = [0, 0]
    for question, own in zip(questions, costs):
        adds = (own, seen(question))
        if not shares or any(have + more > limit for have, more, limit in zip(used, adds, limits)):
            shares.append([])
            used = [0, 0]
            adds = (cost(question), adds[1])
        shares[-1].append(question)
        used = [have + more for have, more in zip(used, adds)]
    return shares


def cost(question: Question) -> int:
    """Tokens that a question adds to a pass, at most."""
    return len(question.prompt) + sum(len(tokens) - 1 for _, tokens in question.rivals)


def seen(question: Question) -> int:
    """Keys that are gathered for it, at most."""
    longer = [len(tokens) - 1 for _, tokens in question.rivals if len(tokens) > 1]
    return len(question.prompt) * (1 + len(longer)) + sum(longer)


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    return next((place for place, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))


def shared(before: Sequence[int], prompt: Sequence[int]) -> int:
    """How many tokens of a prompt are not read again behind another one."""
    same = common(before, prompt)
    return same if same >= min(LEAST, len(prompt)) else 0


class _Row:
    """The row of a pass while it grows."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.positions: list[int] = []
        self.seen: list[Array] = []
        self.added: list[int] = []

    def grow(self, path: Array, tokens: Sequence[int]) -> Array:
        """The places of a text that goes on with `tokens` after those at `path`; nothing is added for no tokens."""
        import numpy

        if not tokens:
            return path
        start = len(self.tokens)
        whole: Array = numpy.concatenate([path, numpy.arange(start, start + len(tokens))])
        self.tokens += tokens
        self.positions += range(len(path), len(whole))
        self.seen.append(whole)
        self.added.append(len(tokens))
        return whole


def lay(questions: Sequence[Question]) -> Reading:
    """The pass over `questions`, which are in the order of their prompts, so that like beginnings are neighbours."""
    import numpy
    import torch

    from medslm.models.prefixes import paths

    row = _Row()
    asked: list[Array] = []
    targets: list[int] = []
    starts: list[int] = []
    indices: list[int] = []
    prompt: list[int] = []
    path: Array = numpy.zeros(0, dtype=numpy.int64)
    for question in questions:
        same = shared(prompt, question.prompt)
        prompt, path = question.prompt, row.grow(path[:same], question.prompt[same:])
        rival: list[int] = []
        branch = path
        for index, tokens in sorted(question.rivals, key=lambda one: one[1]):
            same = common(rival, tokens[:-1])
            rival, branch = tokens[:-1], row.grow(branch[: len(prompt) + same], tokens[same:-1])
            asked.append(branch[len(prompt) - 1 :])
            starts.append(len(targets))
            targets += tokens
            indices.append(index)
    places, rows = numpy.unique(numpy.concatenate(asked), return_inverse=True)
    return Reading(
        input_ids=torch.tensor([row.tokens]),
        position_ids=torch.tensor([row.positions]),
        paths=paths(row.seen, row.added),
        places=torch.from_numpy(places),
        rows=torch.from_numpy(rows),
        targets=torch.tensor(targets),
        starts=numpy.array(starts),
        indices=indices,
    )


def _totals(one: Reading, chosen: torch.Tensor, greedy: torch.Tensor) -> Iterator[tuple[int, Score]]:
    """Sum up the tokens of each continuation."""
    import numpy

    totals = numpy.add.reduceat(chosen.double().cpu().numpy(), one.starts)
    written = numpy.logical_and.reduceat(greedy.cpu().numpy(), one.starts)
    for index, total, all_greedy in zip(one.indices, totals.tolist(), written.tolist()):
        yield index, (total, all_greedy)
