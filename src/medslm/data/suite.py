"""A suite: the tasks that judge a run, and what is measured in each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from medslm.data import builders
from medslm.data.builders.exams import SUBJECTS
from medslm.errors import MedslmError
from medslm.registry import Registry

__all__ = ["Metric", "Suite", "Task", "builders", "suites"]  # `builders` is imported to register the benchmarks


Form = Literal["asked", "shuffled", "reasoned"]
"""How an item is put: as training writes it; with its options in another order; to be thought about in writing first."""


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

    form: Form = "asked"

    again: str = ""
    """The task whose items this one asks again, so that the two answers to an item can be compared."""

    subject: str = ""
    """The column of the benchmark's rows that names an item's subject, where scores by subject are wanted."""

    @property
    def primary(self) -> str:
        """The metric that stands for the task."""
        return self.metrics[0].name


@dataclass(frozen=True)
class Suite:
    """Tasks that are always run together. Raises `MedslmError` for one that asks again what was not asked."""

    tasks: tuple[Task, ...]

    def __post_init__(self) -> None:
        names = {task.name for task in self.tasks}
        if lost := [task.name for task in self.tasks if task.again and task.again not in names]:
            raise MedslmError(f"{', '.join(lost)} asks again what no task of the suite asks; add that task")

    @property
    def stages(self) -> tuple[tuple[Task, ...], ...]:
        """What can be asked at once, then what asks again."""
        first = tuple(task for task in self.tasks if not task.again)
        again = tuple(task for task in self.tasks if task.again)
        return (first, again) if again else (first,)


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

LETTERS = (Metric("accuracy", _whole), Metric("words_accuracy", _whole))
SHUFFLED = (Metric("accuracy", _whole), Metric("changed", higher_is_better=False))
REASONED = (Metric("accuracy", _whole), Metric("unparseable", higher_is_better=False))


def exam(benchmark: str, subject: str = "") -> tuple[Task, Task, Task]:
    """A benchmark of exam questions in its three forms: by likelihood, the same with shuffled options, and in writing."""
    name = benchmark.replace("-", "_")
    return (
        Task(name, benchmark, LETTERS, subject=subject),
        Task(f"{name}_shuffled", benchmark, SHUFFLED, "shuffled", again=name, subject=subject),
        Task(f"{name}_cot", benchmark, REASONED, "reasoned", subject=subject),
    )


EXAMS = {
    "medqa": exam("medqa"),
    "medmcqa": exam("medmcqa", "subject_name"),
    "pubmedqa": exam("pubmedqa"),
    "mmlu-medical": tuple(task for subject in SUBJECTS for task in exam(f"mmlu-{subject.replace('_', '-')}")),
    "medxpertqa": exam("medxpertqa", "body_system"),
    "medbullets": exam("medbullets"),
}
for _name, _tasks in EXAMS.items():
    suites.add(_name, Suite(_tasks))
_ALL = tuple(task for tasks in EXAMS.values() for task in tasks)
suites.add("medical-mcq", Suite(_ALL))
suites.add("medical-mcq-likelihood", Suite(tuple(task for task in _ALL if task.form != "reasoned")))
