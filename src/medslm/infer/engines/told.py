"""What a server's answer tells: replies, and log-probabilities in OpenAI's form or in llama.cpp's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from medslm.infer.engine import Score
from medslm.infer.engines.client import Passing

CERTAIN = 1e4  # added to a logit, this leaves no other token a chance
ABOVE = 1e-3  # by which rounding may lift a log-probability above 0
ENDLESS = "does not say why its replies end; they are taken to have reached their bound"
ENDED = ("stop", "eos_token", "stop_sequence")
"""Why a reply ends of itself: OpenAI's word, and TGI's."""
BOUND = "length"
UNCOUNTED = 1
"""Tokens at the end that some servers do not count."""


class Silent(Exception):
    """The answer does not say how likely the text is."""


def choice(answer: Any) -> Mapping[str, Any]:
    """The one choice, with the fields that are no part of OpenAI's protocol. Raises `Passing` if there is none."""
    choices = getattr(answer, "choices", None)
    if not isinstance(choices, list) or not hasattr(next(iter(choices), None), "model_dump"):
        raise Passing(
            "it answers without a completion; is it a server of OpenAI's completions protocol, and its address whole "
            "(it usually ends in /v1)?",
            few=True,
        )
    found: Mapping[str, Any] = choices[0].model_dump(warnings=False)
    return found


def count(answer: Any, name: str) -> int | None:
    """`completion_tokens` or `prompt_tokens`, as the server counts; none if it does not."""
    found = getattr(getattr(answer, "usage", None), name, None)
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None


def text(found: Mapping[str, Any]) -> str:
    """What a choice says. Raises `Passing` for one without a text, as a conversation's."""
    said = found.get("text")
    if not isinstance(said, str):
        raise Passing("it answers without a text; is it a server of OpenAI's completions protocol?", few=True)
    return said


def ended(found: Mapping[str, Any]) -> bool | None:
    """Whether a reply ends of itself, and not by its bound; none if the server does not say so.

    Raises `Passing` for one that ends otherwise: it is a part.
    """
    finish = found.get("finish_reason")
    if finish not in (None, *ENDED, BOUND):
        raise Passing(f"its reply is not whole: {unfinished(finish)}", few=True)
    return None if finish is None else bool(finish != BOUND)


def unfinished(finish: Any) -> str:
    """What is wrong with a reply that ends like this."""
    return f"it ended the reply with '{finish}'" if finish else "it does not say why it ends"


def misread(answer: Any, asked: int) -> str:
    """What is to be said of a server that counts more or fewer tokens than it was sent; empty if it does not."""
    read = count(answer, "prompt_tokens")
    if not read or read == asked:
        return ""
    return (
        f"says that it read {read:,} tokens of a prompt of {asked:,}: unless it only counts otherwise, it cuts prompts to "
        "a shorter context or writes a template around them, and answers other prompts than were meant; serve it with a "
        "longer context, or ask vLLM or llama.cpp, which take tokens"
    )


def cut(answer: Any, asked: int, bound: int) -> str:
    """What is to be said of a reply that ended before its bound, though not of itself; empty if it did not."""
    wrote = count(answer, "completion_tokens")
    if wrote is None or wrote >= bound - UNCOUNTED:
        return ""
    return (
        f"says that it cut a reply after {wrote:,} of {bound:,} tokens: unless it only counts otherwise, a prompt of "
        f"{asked:,} leaves no more room in its context; serve it with a longer one, or ask for shorter replies"
    )


def echoed(found: Mapping[str, Any], before: int, after: int) -> Score:
    """The score of the `after` tokens behind the first `before`. Raises `Silent` if the prompt was not echoed as it is."""
    logprobs = found.get("logprobs")
    each, tops = (_listed(logprobs, name) for name in ("token_logprobs", "top_logprobs"))
    whole = before + after
    if not all(whole <= len(one) <= whole + 1 for one in (each, tops)):  # and one that was written
        raise Silent
    mine = [_logprob(one) for one in each[before:whole]]
    best = [_best(one) for one in tops[before:whole]]
    return sum(mine), all(one >= top for one, top in zip(mine, best))


def forced(found: Mapping[str, Any], token: int) -> tuple[float, int]:
    """The log-probability of the one token that was written, and the likeliest. Raises `Silent` if it is another one."""
    one = next(iter(_listed(found.get("logprobs"), "content")), None)
    best = next(iter(_listed(one, "top_logprobs")), None)
    if not isinstance(one, Mapping) or one.get("id") != token:
        raise Silent
    if not isinstance(best, Mapping) or not isinstance(best.get("id"), int):
        raise Silent
    return _logprob(one.get("logprob")), best["id"]


def require_unbiased(one: float, other: float) -> None:
    """Raise `Silent` if two tokens after the same prompt are more likely together than anything can be."""
    if math.exp(one) + math.exp(other) > 1.001:
        raise Silent


def _listed(of: Any, name: str) -> Sequence[Any]:
    found = of.get(name) if isinstance(of, Mapping) else None
    return found if isinstance(found, list) else []


def _logprob(told: Any) -> float:
    """Raises `Silent` for what is no log-probability."""
    if isinstance(told, bool) or not isinstance(told, (int, float)) or not -math.inf < told <= ABOVE:
        raise Silent
    return float(told)


def _best(top: Any) -> float:
    if not isinstance(top, Mapping) or not top:
        raise Silent
    return max(map(_logprob, top.values()))
