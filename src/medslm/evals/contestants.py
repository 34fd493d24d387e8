"""Who is compared: a side of a judged run with its answers, and what it got in one metric, item by item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from medslm.evals import samples, statistics
from medslm.evals.admission import AS_SERVED
from medslm.evals.respondent import HERE
from medslm.evals.statistics import Estimate

ASKED, ITEMS = "items and prompts", "items"
OF_A_BASE = ("template", ASKED)
"""What two bases cannot share: each reads the same items in the words of its own template."""

Key = tuple[str, str, str]
"""Protocol, task, metric."""


@dataclass(frozen=True)
class Contestant:
    """One model: a side of a judged run."""

    label: str
    run: Path

    folder: Path
    """In which the scores and answers of its engine lie."""

    scores: Mapping[str, Any]
    side: str
    named: bool = False
    """Whether its label says which engine answered."""

    _answers: dict[Path, dict[str, samples.Sample]] = field(default_factory=dict)

    @cached_property
    def results(self) -> dict[Key, Mapping[str, Any]]:
        """The results of the run that have this side."""
        return {
            (result["protocol"], result["task"], result["metric"]): result
            for result in self.scores["results"]
            if self.side in result
        }

    def answers(self, path: Path) -> dict[str, samples.Sample]:
        """The samples in `path`, read once for all metrics."""
        if path not in self._answers:
            self._answers[path] = samples.read(path)
        return self._answers[path]

    @property
    def engine(self) -> str:
        """What answered."""
        return str(self.scores.get("engine", HERE))

    @property
    def alone(self) -> bool:
        """Whether it has one kind of weights, and stands beside runs of any protocol: a base alone, or what is served."""
        served = self.named and {result["protocol"] for result in self.scores["results"]} == {AS_SERVED}
        return self.scores["adapter_sha256"] is None or served

    def at(self, key: Key) -> Mapping[str, Any] | None:
        """Its result under a key, or what it has of that task and metric if it has one kind of weights."""
        if not self.alone:
            return self.results.get(key)
        return next((found for (_, *asked), found in self.results.items() if asked == [*key[1:]]), None)


@dataclass(frozen=True)
class Figure:
    """What one contestant got in one metric, item by item."""

    of: Contestant
    values: Mapping[str, float]
    protocol: Mapping[str, str]
    """Field -> what it says; figures are compared if all of it is equal, but for `OF_A_BASE` between two bases."""

    @cached_property
    def estimate(self) -> Estimate:
        """Mean over the items."""
        return statistics.estimate(list(self.values.values()))

    def apart(self, other: Figure) -> list[str]:
        """The fields because of which the two are not compared."""
        bases = {str(figure.of.scores.get("base")) for figure in (self, other)}
        free = OF_A_BASE if len(bases) > 1 else ()
        return [title for title, said in self.protocol.items() if title not in free and other.protocol[title] != said]
