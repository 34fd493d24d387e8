"""Log-likelihoods of rival continuations in padded batches, for models whose texts cannot be packed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from medslm.errors import MedslmError
from medslm.infer.arithmetic import arithmetic, follow, followed
from medslm.infer.engine import Score
from medslm.infer.questions import Question
from medslm.infer.reading import read

if TYPE_CHECKING:  # importing this module imports no torch
    import torch

Found = tuple[int, list[float], list[bool]]
"""Place of a pair; of each token of its continuation the log-probability, and whether it is the likeliest."""


class Padded:
    """Reads the prompts of a batch, then the continuations from their keys and values: up to `rows` of these at once."""

    def __init__(self, model: Any, rows: int) -> None:
        self._model, self._rows = model, rows
        self._told = False  # that memory was full

    def score(self, questions: Sequence[Question]) -> Iterator[tuple[int, Score]]:
        """Each pair's place and score, in any order.

        Too little memory halves the batches from there on. Raises `MedslmError` where one row does not fit.
        """
        for index, chosen, greedy in self._all(questions):
            yield index, (sum(chosen), all(greedy))

    def by_token(self, questions: Sequence[Question]) -> Iterator[tuple[int, list[float]]]:
        """Each pair's place and the log-probability of each token of its continuation, in any order. As `score`."""
        yield from ((index, chosen) for index, chosen, _ in self._all(questions))

    def _all(self, questions: Sequence[Question]) -> Iterator[Found]:
        for exact in (True, False):
            left = sorted((one for one in questions if one.exact == exact), key=lambda one: len(one.prompt))
            most = max((len(one.rivals) for one in left), default=1)
            while left:
                batch = left[-max(1, self._rows // most) :]  # the longest first: too little memory shows at once
                found = self._tried(batch, exact)
                if found is None:
                    self._halve(batch)
                    continue
                del left[-len(batch) :]
                yield from found

    def _tried(self, questions: Sequence[Question], exact: bool) -> list[Found] | None:
        """None if memory was full."""
        import torch

        asked = [(row, index, tokens) for row, one in enumerate(questions) for index, tokens in one.rivals]
        try:
            with arithmetic(self._model, exact):
                found = self._found([one.prompt for one in questions], [(row, tokens) for row, _, tokens in asked])
        except torch.OutOfMemoryError:
            return None
        return [(index, *rest) for (_, index, _), rest in zip(asked, found)]

    def _halve(self, questions: Sequence[Question]) -> None:
        import torch

        rows = sum(len(one.rivals) for one in questions)
        if len(questions) == 1:
            raise MedslmError(
                f"a question of {questions[0].longest} tokens with {rows} answers does not fit into the device's memory; "
                "choose a smaller base or quantization=nf4"
            )
        self._rows = min(self._rows, rows) // 2
        torch.cuda.empty_cache()
        if not self._told:
            print(
                f"note: the device's memory is full; batches have {self._rows} rows from here on, or fewer",
                file=sys.stderr,
            )
            self._told = True

    def _found(
        self, prompts: Sequence[Sequence[int]], after: Sequence[tuple[int, list[int]]]
    ) -> list[tuple[list[float], list[bool]]]:
        """Of each token of each (row of `prompts`, continuation): its log-probability, whether it is the likeliest."""
        import torch

        device = self._model.device
        rows = torch.tensor([row for row, _ in after], device=device)
        width = max(len(tokens) for _, tokens in after)
        gaps = [width - len(tokens) for _, tokens in after]
        padded = [[*tokens, *tokens[-1:] * gap] for (_, tokens), gap in zip(after, gaps)]  # masked, so any token does
        targets = torch.tensor(padded, device=device)  # (N, C)
        wanted = torch.tensor([[1] * (width - gap) + [0] * gap for gap in gaps], device=device)
        first, mask, cache = read(self._model, prompts)
        parts = [[part[:, None] for part in follow(first[:, 0], rows, targets[:, 0])]]
        if width > 1:
            cache.batch_select_indices(rows)
            parts.append(self._continued(targets, torch.cat([mask[rows], wanted[:, :-1]], dim=1), cache))
        chosen, greedy = (torch.cat(part, dim=1).tolist() for part in zip(*parts))  # (N, C)
        lengths = [len(tokens) for _, tokens in after]
        return [(one[:length], best[:length]) for one, best, length in zip(chosen, greedy, lengths)]

    def _continued(self, targets: torch.Tensor, mask: torch.Tensor, cache: Any) -> list[torch.Tensor]:
        """`follow` behind each of `targets` (N, C) but the last, which follow what `cache` holds. Two of (N, C - 1)."""
        import torch

        ids, after = targets[:, :-1], targets[:, 1:]
        inputs = {
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :],  # which count no padding
            "past_key_values": cache,
            "use_cache": True,
        }
        places = torch.arange(after.numel(), device=after.device)
        return [part.view_as(after) for part in followed(self._model, inputs, None, places, after.flatten())]
