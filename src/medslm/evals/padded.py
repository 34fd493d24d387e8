"""Log-likelihoods of rival continuations in padded batches, for models whose texts cannot be packed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from medslm.errors import MedslmError
from medslm.evals.arithmetic import arithmetic, follow
from medslm.evals.questions import Question
from medslm.infer.reading import read

if TYPE_CHECKING:  # importing this module imports no torch
    import torch

    from medslm.evals.scoring import Score


class Padded:
    """Reads the prompts of a batch, then the continuations from their keys and values: up to `rows` of these at once."""

    def __init__(self, model: Any, rows: int) -> None:
        self._model, self._rows = model, rows

    def score(self, questions: Sequence[Question]) -> Iterator[tuple[int, Score]]:
        """Each pair's place and score, in any order. Raises `MedslmError` if a batch does not fit into memory."""
        for exact in (True, False):
            kind = sorted((one for one in questions if one.exact == exact), key=lambda one: -len(one.prompt))
            size = max(1, self._rows // max((len(one.rivals) for one in kind), default=1))
            for start in range(0, len(kind), size):
                yield from self._batch(kind[start : start + size], exact)

    def _batch(self, questions: Sequence[Question], exact: bool) -> Iterator[tuple[int, Score]]:
        import torch

        asked = [(row, index, tokens) for row, one in enumerate(questions) for index, tokens in one.rivals]
        try:
            with arithmetic(self._model, exact):
                scores = self._scores([one.prompt for one in questions], [(row, tokens) for row, _, tokens in asked])
        except torch.OutOfMemoryError as error:
            raise MedslmError(
                f"a batch of {len(asked)} rows does not fit into the device's memory; evaluate with a smaller --batch-size"
            ) from error
        yield from zip((index for _, index, _ in asked), scores)

    def _scores(self, prompts: Sequence[Sequence[int]], after: Sequence[tuple[int, list[int]]]) -> list[Score]:
        """Of each (row of `prompts`, continuation)."""
        import torch

        rows = torch.tensor([row for row, _ in after], device=self._model.device)
        width = max(len(tokens) for _, tokens in after)
        gaps = [width - len(tokens) for _, tokens in after]
        padded = [[*tokens, *tokens[-1:] * gap] for (_, tokens), gap in zip(after, gaps)]  # masked, so any token does
        targets = torch.tensor(padded, device=rows.device)  # (N, C)
        wanted = torch.tensor([[1] * (width - gap) + [0] * gap for gap in gaps], device=rows.device)
        first, mask, cache = read(self._model, prompts)
        logits = [first[rows]]  # (N, 1, V)
        if width > 1:
            cache.batch_select_indices(rows)
            logits.append(self._continued(targets[:, :-1], torch.cat([mask[rows], wanted[:, :-1]], dim=1), cache))
        every = torch.cat(logits, dim=1)  # (N, C, V)
        places = torch.arange(targets.numel(), device=rows.device)
        chosen, greedy = (part.view_as(targets) for part in follow(every.flatten(0, 1), places, targets.flatten()))
        totals: list[float] = (chosen * wanted).sum(1).tolist()
        return list(zip(totals, (greedy | (wanted == 0)).all(1).tolist()))

    def _continued(self, ids: torch.Tensor, mask: torch.Tensor, cache: Any) -> torch.Tensor:
        """Logits behind each of `ids`, which follow what `cache` holds. (N, T, V)"""
        logits: torch.Tensor = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :],  # which count no padding
            past_key_values=cache,
            use_cache=True,
        ).logits
        return logits
