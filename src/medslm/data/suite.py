"""A suite: the tasks that judge a run, and what is measured in each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from medslm.data import builders
from medslm.registry import Registry

__all__ = ["Metric", "Suite", "Task", "builders", "suites"]  # `builders` is imported to register the benchmarks


@dataclass(frozen=True)
class Metric:
    """One property of an answer that holds or does not hold."""

    name: str
    """As in the task's YAML and in `scores.json`."""

    label: Callable[[Any], str] | None = None
    """Key -> what has to be guessed, for the score of always giving the most frequent answer; none without a guess."""

    higher_is_better: bool = True


@dataclass(frozen=True)
class Task:
    """Questions of one benchmark, asked in one way: `tasks/<name>.yaml` says how lm-eval runs them."""

    name: str
    """The task's name in lm-eval."""

    benchmark: str
    """Where the items come from (`medslm list benchmarks`)."""

    metrics: tuple[Metric, ...]
    """What is measured; the first is the primary one, which heads the model card."""

    @property
    def primary(self) -> str:
        """The metric that stands for the task."""
        return self.metrics[0].name


@dataclass(frozen=True)
class Suite:
    """Tasks that are always run together."""

    tasks: tuple[Task, ...]


suites: Registry[Suite] = Registry("suite")


def _whole(key: str) -> str:
    return key


def _chapter(key: dict[str, str]) -> str:
    return key["chapter"]


def _category(key: dict[str, str]) -> str:
    return key["code"][:3]


def _code(key: dict[str, str]) -> str:
    return key["code"]


CODING = (
    Metric("chapter_accuracy", _chapter),
    Metric("category_accuracy", _category),
    Metric("code_accuracy", _code),
    Metric("valid_code"),
    Metric("strict_parse"),
    Metric("unparseable", higher_is_better=False),
)
CHOICE = (Metric("accuracy", _whole), Metric("accuracy_norm", _whole))

suites.add(
    "icd10cm", Suite((Task("icd10cm_coding", "icd10cm-coding", CODING), Task("icd10cm_mcq", "icd10cm-mcq", CHOICE)))
)
