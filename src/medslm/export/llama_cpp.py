"""Asks llama.cpp itself about a GGUF file, where it is installed: does it cut texts alike, and begin replies alike?

Its server tells the likeliest tokens of one place, not all tokens of all places: the whole comparison is made through
transformers, this one at the first place of each reply. https://github.com/ggml-org/llama.cpp/tree/master/tools/server
"""

from __future__ import annotations

import json
import math
import os
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medslm.errors import MedslmError
from medslm.export.drift import Bound, by_item
from medslm.export.subject import Item
from medslm.infer import llama_cpp

if TYPE_CHECKING:  # importing this module imports no numpy
    from medslm.export.drift import Array

LISTED = 256  # tokens of a place that the server is asked for
HALF = 0.02  # nats beyond the format's bound: llama.cpp multiplies and keeps keys and values in 16 bits
PLACES = "completion_probabilities"
PATIENCE = 300.0  # seconds for an answer


@dataclass(frozen=True)
class Served:
    """What llama.cpp makes of a file, beside the adapter."""

    loader: str
    prompts: int

    divergence: float
    """Nats: mean divergence from the adapter at that place; the tokens behind the `LISTED` likeliest count as one."""

    top1: float
    """Share of prompts whose reply begins with the same token."""

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {name: round(value, 6) if isinstance(value, float) else value for name, value in asdict(self).items()}


def check(made: Path, items: Sequence[Item], before: Sequence[Array], bound: Bound, begin: str) -> Served | None:
    """Compare the first place of every reply; none where there is no llama.cpp. It puts `begin` before prompts itself.

    Raises `MedslmError` if it cuts a prompt into other tokens, or begins replies otherwise than `bound` allows.
    """
    if not (loader := llama_cpp.installed()):
        return None
    places = {item.prompt: (item.passages[0], rows[0][0]) for item, rows in zip(items, by_item(items, before))}
    apart, same = 0.0, 0
    with llama_cpp.serving(made, max(passage.start for passage, _ in places.values()) + 8) as url:
        for prompt, (passage, row) in places.items():
            ids = list(passage.ids[: passage.start])
            _refuse_other_tokens(url, prompt.removeprefix(begin), ids, made)
            told = _first(url, ids)
            apart += _divergence(row, told)
            same += int(row.argmax()) == max(told, key=told.__getitem__)
    divergence = max(0.0, apart / len(places))
    if not divergence <= (most := bound.drift + HALF):
        raise MedslmError(
            f"{made.name} is not what was learnt any more in {loader}: its predictions diverge by {divergence:.3g} nats a "
            f"token, of at most {most:g}. It was removed; choose a wider type, or allow it with --max-drift"
        )
    return Served(loader, len(places), divergence, same / len(places))


def _divergence(row: Array, told: dict[int, float]) -> float:
    """From the adapter's log-probabilities (V,) to those that the server lists, the rest of both taken as one token."""
    pairs = [(math.exp(float(row[token])), math.exp(logprob)) for token, logprob in told.items()]
    rest = [max(1.0 - sum(side), 1e-9) for side in zip(*pairs)]
    return math.fsum(p * math.log(p / max(q, 1e-9)) for p, q in [*pairs, (rest[0], rest[1])] if p)


def _refuse_other_tokens(url: str, prompt: str, ids: list[int], made: Path) -> None:
    """As servers cut what they are sent as text, with the tokens that the file has them put around it."""
    cut = _post(f"{url}/tokenize", {"content": prompt, "add_special": True, "parse_special": True})["tokens"]
    if cut[: len(ids)] != ids:
        place = next(
            (place for place, (one, other) in enumerate(zip(cut, ids)) if one != other), min(len(cut), len(ids))
        )
        raise MedslmError(
            f"llama.cpp cuts a prompt into other tokens than the run's tokenizer, from the {place + 1}th on, as "
            f"{made.name} tells it to: the converter does not know this tokenizer; use a newer one"
        )


def _first(url: str, ids: list[int]) -> dict[int, float]:
    """Token -> log-probability behind these tokens, of the `LISTED` likeliest."""
    asked = {"prompt": ids, "n_predict": 1, "n_probs": LISTED, "temperature": 0.0, "cache_prompt": True, "samplers": []}
    told = _post(f"{url}/completion", asked)
    if PLACES not in told:  # the likeliest is a part of a character; what is told is from before the bias
        told = _post(f"{url}/completion", asked | {"logit_bias": [[ids[0], 1000.0]]})
    if PLACES not in told:
        raise MedslmError("llama.cpp's server tells no probabilities; use another version of it")
    return {token["id"]: float(token["logprob"]) for token in told[PLACES][0]["top_logprobs"]}


def _post(url: str, told: dict[str, Any]) -> Any:
    key = os.environ.get("LLAMA_API_KEY")  # which its server takes from there
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(url, json.dumps(told).encode(), headers)
    try:
        with llama_cpp.DIRECT.open(request, timeout=PATIENCE) as answer:
            return json.load(answer)
    except (OSError, ValueError) as error:
        raise MedslmError(f"llama.cpp's server did not answer {url}: {error}; use another version of it") from error
