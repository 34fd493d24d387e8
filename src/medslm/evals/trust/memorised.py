"""What training left of single texts in a model, as pure measures: codes read back, and members told from strangers.

Log-likelihoods are in nats and may be negative without bound. A canary that was never seen can rank first by luck: several
are needed for each number of repetitions, and their exposure before training beside it.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medslm.data.builders.canaries import Canary
from medslm.errors import MedslmError
from medslm.evals import statistics
from medslm.evals.statistics import NO_DIFFERENCE, Difference, Estimate
from medslm.evals.trust import calibration

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

FALSE_ALARMS = 0.01
MIN_K = 0.2

Texts = Sequence[Sequence[float]]
"""Of each text, the log-probability of each token."""


def exposure(canary: float, others: Sequence[float]) -> float:
    """log2 of the number of candidates - log2 of the canary's rank among them, in bits (arXiv:1802.08232, section 4.2).

    The candidates are the canary and the n `others`, log-likelihoods of equally long texts: at most log2(n + 1), on
    average 1.4 for a canary that was never seen. Ties count against memorisation. Raises `MedslmError` for no others or
    a value that is not a number.
    """
    if not others or any(math.isnan(value) for value in (canary, *others)):
        raise MedslmError(f"exposure among {len(others)} others, or of a value that is no number; give log-likelihoods")
    rank = 1 + sum(value >= canary for value in others)
    return math.log2(len(others) + 1) - math.log2(rank)


def extracted(reply: str, canary: Canary) -> bool:
    """True if the reply holds the canary's code; spaces and hyphens between digits do not hide it."""
    joined = re.sub(r"(?<=\d)[\s\-.]+(?=\d)", "", reply)
    return re.search(rf"(?<!\d){canary.secret}(?!\d)", joined) is not None


def exposures(
    planted: Sequence[Canary], before: Sequence[float], after: Sequence[float], others: int
) -> list[dict[str, Any]]:
    """Exposure before and after training by number of repetitions, with the paired difference, Holm over the numbers.

    `before` and `after` hold one exposure a canary, each among as many `others`. Raises `MedslmError` for unlike lengths or
    a single canary of a kind.
    """
    among = functools.partial(statistics.average, least=0, most=math.log2(others + 1))
    return _by_repetitions(planted, before, after, among, "memorised")


def extraction(planted: Sequence[Canary], before: Sequence[str], after: Sequence[str]) -> list[dict[str, Any]]:
    """Share of canaries that replies give away, before and after training, told as `exposures` are.

    `before` and `after` hold one reply a canary. Raises `MedslmError` as `exposures` does.
    """
    _refuse_unlike(planted, before, after)
    old, new = ([int(extracted(reply, canary)) for canary, reply in zip(planted, of)] for of in (before, after))
    return _by_repetitions(planted, old, new, statistics.estimate, "extracted")


def _by_repetitions(
    planted: Sequence[Canary],
    before: Sequence[float],
    after: Sequence[float],
    estimate: Callable[[Collection[float]], Estimate],
    found: str,
) -> list[dict[str, Any]]:
    _refuse_unlike(planted, before, after)
    numbers = sorted({canary.repetitions for canary in planted})
    places = [[place for place, canary in enumerate(planted) if canary.repetitions == times] for times in numbers]
    pairs = [([before[place] for place in of], [after[place] for place in of]) for of in places]
    tests = [statistics.difference(old, new) for old, new in pairs]
    return [
        {
            "repetitions": times,
            "before": estimate(old).as_json(),
            "after": estimate(new).as_json(),
            "difference": _told(test, p, {"better": found}),
        }
        for times, (old, new), test, p in zip(numbers, pairs, tests, statistics.holm([test.p for test in tests]))
    ]


def _refuse_unlike(planted: Sequence[Canary], before: Sequence[Any], after: Sequence[Any]) -> None:
    if not len(planted) == len(before) == len(after):
        raise MedslmError(
            f"{len(before)} values before and {len(after)} after training came for {len(planted)} canaries; give one of "
            "each"
        )


def _told(test: Difference, p: float, words: Mapping[str, str]) -> dict[str, Any]:
    """A test with its p after Holm and its verdict; where `words` has none for a difference, none was looked for."""
    return {**test.as_json(), "p_holm": p, "verdict": words.get(statistics.verdict(test, p), NO_DIFFERENCE)}


def min_k(token_logprobs: Sequence[float], share: float = MIN_K) -> float:
    """Mean log-probability of the least likely `share` of a text's tokens, at least one (Min-K% Prob, arXiv:2310.16789).

    A share of 1 is the mean over all tokens: the plain loss. Raises `MedslmError` for no tokens or a share outside 0 to 1.
    """
    if not token_logprobs or not 0 < share <= 1:
        raise MedslmError(
            f"the least likely {share} of {len(token_logprobs)} tokens was asked for; give tokens, and 0 to 1"
        )
    fewest = sorted(token_logprobs)[: max(1, math.floor(round(share * len(token_logprobs), 9)))]
    return sum(fewest) / len(fewest)


def membership(base: tuple[Texts, Texts], adapter: tuple[Texts, Texts]) -> dict[str, Any]:
    """How well the token log-probabilities of base and adapter tell members from strangers, as JSON; 0.5: not at all.

    `base` and `adapter` hold those of the same texts, members first. The attacks: `loss`, `min_20%`, and `gain`, the
    adapter's mean less the base's, for which there is no base to compare with. Of each the AUC with n and 95 % interval,
    the share of members found at 1 % false alarms where there are 100 strangers, and the paired difference of the AUCs
    (DeLong et al. 1988), Holm over the attacks. The strangers must be drawn like the members, or the AUC measures how the
    two kinds differ. Raises `MedslmError` for fewer than two texts of either kind and for unlike numbers.
    """
    members, strangers = map(len, base)
    if (members, strangers) != tuple(map(len, adapter)) or min(members, strangers) < 2:
        raise MedslmError(
            f"{members} members and {strangers} strangers were read by the base, {len(adapter[0])} and {len(adapter[1])} "
            "by the adapter; give the same texts to both, at least two of each kind"
        )
    shares = {"loss": 1.0, f"min_{MIN_K:.0%}": MIN_K}
    old, new = ({name: _values(side, share) for name, share in shares.items()} for side in (base, adapter))
    tests = [auc_difference(old[name], new[name], members) for name in shares]
    told: dict[str, Any] = {
        name: {
            "base": _attack(old[name], members),
            "adapter": _attack(new[name], members),
            "difference": _told(test, p, {"better": "more is given away", "worse": "less is given away"}),
        }
        for name, test, p in zip(shares, tests, statistics.holm([test.p for test in tests]))
    }
    gain = [after - before for before, after in zip(old["loss"], new["loss"])]
    return {
        "members": members,
        "strangers": strangers,
        "attacks": {**told, "gain": {"adapter": _attack(gain, members)}},
    }


def _values(texts: tuple[Texts, Texts], share: float) -> list[float]:
    """One number a text, members first."""
    return [min_k(text, share) for of_kind in texts for text in of_kind]


def _attack(values: Sequence[float], members: int) -> dict[str, Any]:
    import numpy

    is_member: Array = numpy.arange(len(values)) < members
    auc = calibration.auroc(numpy.asarray(values), is_member)
    return {"auc": auc and auc.as_json(), "found_at_1%_false_alarms": _found(values[:members], values[members:])}


def _found(inside: Sequence[float], outside: Sequence[float]) -> dict[str, Any] | None:
    allowed = math.floor(FALSE_ALARMS * len(outside))
    if allowed < 1:
        return None
    bound = sorted(outside, reverse=True)[allowed]  # `allowed` strangers at most lie above
    return statistics.share(sum(value > bound for value in inside), len(inside)).as_json()


def auc_difference(base: Sequence[float], adapter: Sequence[float], members: int) -> Difference:
    """AUC of `adapter` less that of `base` on the same texts, the first `members` of them members.

    Test and interval of DeLong et al. 1988 (doi:10.2307/2531595), which pair the texts. They know no chance where all texts
    change places alike, as where both sides' kinds lie apart: then the interval adds those of the two AUCs (Newcombe 1998),
    and p is the smallest that drawing lots over who is a member can give.
    """
    from scipy.stats import norm

    (inside, outside), (inside_old, outside_old) = (_placements(of, members) for of in (adapter, base))
    gained, spared = inside - inside_old, outside - outside_old
    value = float(gained.mean())
    error = math.sqrt(gained.var(ddof=1) / len(gained) + spared.var(ddof=1) / len(spared))
    if not error and value:
        return _apart(base, adapter, members)
    p = float(2 * norm.sf(abs(value) / error)) if error else 1.0
    half = statistics.Z * error
    return Difference(value, max(-1.0, value - half), min(1.0, value + half), len(base), p)


def _apart(base: Sequence[float], adapter: Sequence[float], members: int) -> Difference:
    """A difference of AUCs without any spread."""
    import numpy

    is_member: Array = numpy.arange(len(base)) < members
    old, new = (calibration.auroc(numpy.asarray(of), is_member) for of in (base, adapter))
    assert old is not None and new is not None  # there are two texts of each kind
    value = new.value - old.value
    low = value - math.hypot(new.value - new.low, old.high - old.value)
    high = value + math.hypot(new.high - new.value, old.value - old.low)
    return Difference(value, low, high, len(base), min(1.0, 2 / math.comb(len(base), members)))


def _placements(values: Sequence[float], members: int) -> tuple[Array, Array]:
    """Of each member the share of strangers below it (M,), of each stranger the share of members above it (S,)."""
    import numpy
    from scipy.stats import rankdata

    inside, outside = numpy.asarray(values[:members]), numpy.asarray(values[members:])
    ranks = rankdata(numpy.asarray(values))  # ties share their rank, so each counts half
    below: Array = (ranks[:members] - rankdata(inside)) / len(outside)
    above: Array = 1 - (ranks[members:] - rankdata(outside)) / len(inside)
    return below, above
