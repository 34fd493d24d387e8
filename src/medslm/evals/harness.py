"""A model's sides through lm-eval, in memory: the only file that knows lm-eval.

lm-eval reads the tasks, builds the requests, calls the metrics and adds up; behind its `LM` interface answers any
`medslm.evals.respondent`. The one in this process agrees with lm-eval's own `HFLM` in float32
(`tests/evals/test_harness.py`). `HFLM` 0.4.13 cannot be used as it stands: it compares letters in bfloat16, moves the
prompt's last newline into the continuation, strips a stop token before it looks for it, cuts long prompts from the left,
and takes six times as long on a CPU.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medslm import files
from medslm.data.formats.render import Renderer
from medslm.data.suite import Suite, Task
from medslm.errors import MedslmError
from medslm.evals import documents, metrics, parsing
from medslm.evals.documents import Document
from medslm.evals.fitting import fitting
from medslm.evals.sitting import Sitting
from medslm.infer.engine import Reply
from medslm.infer.questions import Pair

TASKS = Path(__file__).parent / "tasks"


@dataclass(frozen=True)
class Outcome:
    """What a model did with one item."""

    id: str
    prompt: str
    key: str | Mapping[str, str]
    measures: Mapping[str, float]
    """Metric -> what this answer measures; 1 or 0 for a share. A metric that is undefined for it is left out."""

    reply: str | None = None
    """Written tasks only, as the three below."""

    tokens: int | None = None
    """Of the reply."""

    cut: bool | None = None
    """Whether the reply was ended by its bound (`max_gen_toks`), not by the model."""

    rule: str | None = None
    """How the pick was read out of the reply, or why it could not be: a rule or failure of `medslm.evals.parsing`."""

    letters: Sequence[str] = ()
    """Questions with options only, as those below."""

    logprobs: Sequence[float] = ()
    """Of each letter; none if the answer was written."""

    words: Sequence[float] = ()
    """Log-probability of each option's words, where these were scored too."""

    pick: str | None = None
    """The letter chosen; none if the reply was unparseable."""

    meant: str | None = None
    """The letter of the chosen option before the options were shuffled."""

    before: str | None = None
    """The pick of the task that asked this before."""

    subject: str | None = None

    def as_json(self) -> str:
        """One line of a samples file."""
        record = {
            "id": self.id,
            "subject": self.subject,
            "prompt": self.prompt,
            "reply": self.reply,
            "tokens": self.tokens,
            "cut": self.cut,
            "rule": self.rule,
            "logprobs": dict(zip(self.letters, self.logprobs)) or None,
            "words": dict(zip(self.letters, self.words)) or None,
            "pick": self.pick,
            "meant": self.meant,
            "before": self.before,
            "key": self.key,
            "measures": self.measures,
        }
        return json.dumps({name: value for name, value in record.items() if value is not None}, ensure_ascii=False)


@dataclass(frozen=True)
class Judged:
    """All outcomes of one side, by task."""

    outcomes: Mapping[str, list[Outcome]]

    versions: Mapping[str, float] = field(default_factory=dict)
    """Of each task's YAML."""

    left_out: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Task -> why rows of its benchmark were not asked, and how many."""


def version() -> str:
    """lm-eval's version."""
    import importlib.metadata

    return importlib.metadata.version("lm_eval")


def evaluate(sitting: Sitting, suite: Suite, *, limit: int | None = None, tasks: Path = TASKS) -> dict[str, Judged]:
    """Ask every side everything in `suite` and write its answers to `sitting.folder/<side>/<task>.jsonl`.

    `tasks` is the folder of the YAMLs. Raises `MedslmError` for an exam question that the model cannot read as a whole;
    other texts that it cannot are left out and counted.
    """
    renderer, loader = sitting.engine.renderer, _Loader(sitting.engine.renderer, tasks, [t.name for t in suite.tasks])
    left_out: dict[str, Counter[str]] = {task.name: Counter() for task in suite.tasks}
    asked = {task.name: documents.render(task, renderer, limit, left_out[task.name]) for task in suite.tasks}
    with _quiet():
        bounds = loader.bounds(asked)
    for name, bound in bounds.items():
        asked[name] = fitting(name, asked[name], sitting.engine, bound, left_out[name])
    sitting.begin(*_first(asked))
    outcomes: dict[str, dict[str, list[Outcome]]] = {side: {} for side in sitting.sides}
    versions: dict[str, float] = {}
    with _quiet():
        for stage in suite.stages:
            for side, of_side in outcomes.items():
                loaded = loader.load({task.name: _remembering(task, asked[task.name], of_side) for task in stage})
                found, written = _run(sitting, side, loaded)
                samples = {task: found["samples"][task.name] for task in stage}
                of_side |= {
                    task.name: [_outcome(task, one, written) for one in of_task] for task, of_task in samples.items()
                }
                versions |= {task.name: found["versions"][task.name] for task in stage}
    for side, of_side in outcomes.items():
        for name, of_task in of_side.items():
            text = "".join(outcome.as_json() + "\n" for outcome in of_task)
            files.write_text(sitting.folder / side / f"{name}.jsonl", text)
    return {side: Judged(of_side, versions, left_out) for side, of_side in outcomes.items()}


def _remembering(task: Task, asked: list[Document], outcomes: Mapping[str, list[Outcome]]) -> list[Document]:
    """The documents of a task that asks again, each with the answer that its item got before."""
    if not task.again:
        return asked
    picks = {outcome.id: outcome.pick for outcome in outcomes[task.again]}
    return [{**document, "before": picks[document["id"]]} for document in asked]


def _first(asked: Mapping[str, list[Document]]) -> tuple[str, Pair | None]:
    """A prompt to write after, and one with a continuation whose likelihood is asked for, if one is."""
    first = [of_task[0] for of_task in asked.values()]
    pairs = [(document["prompt"], document["choices"][0]) for document in first if document["choices"]]
    return first[0]["prompt"], pairs[0] if pairs else None


class _Loader:
    """lm-eval's tasks over documents, each read once for the same ones; without its own 12,000, half a minute to index.

    Raises `MedslmError` for a task without a YAML of its name.
    """

    def __init__(self, renderer: Renderer, folder: Path, names: Sequence[str]) -> None:
        self._renderer, self._folder = renderer, folder
        self._held: dict[str, tuple[list[Document], Any]] = {}
        if missing := [name for name in names if not (folder / f"{name}.yaml").is_file()]:
            raise MedslmError(
                f"{folder} has no task called {', '.join(missing)}; add its YAML, or mend the suite's record"
            )

    def bounds(self, asked: Mapping[str, list[Document]]) -> dict[str, int]:
        """Task -> tokens that a reply may have, as its YAML says; 0 where continuations are scored, and none written."""
        written = {name: of_task for name, of_task in asked.items() if not of_task[0]["choices"]}
        loaded = self.load(written)["tasks"]
        return {name: loaded[name].config.generation_kwargs["max_gen_toks"] if name in loaded else 0 for name in asked}

    def load(self, asked: Mapping[str, list[Document]]) -> dict[str, Any]:
        """The tasks as `lm_eval.evaluate` takes them."""
        from lm_eval.tasks import TaskManager

        fresh = {
            name: of_task for name, of_task in asked.items() if name not in self._held or self._held[name][0] != of_task
        }
        if fresh:
            manager = TaskManager(
                include_defaults=False, include_path=[str(self._folder)], metadata={"documents": json.dumps(fresh)}
            )
            for name, task in manager.load(list(fresh))["tasks"].items():
                if task.OUTPUT_TYPE == "generate_until":
                    task.set_config("generation_kwargs", {"until": [self._renderer.end_of_turn]}, update=True)
                self._held[name] = fresh[name], task
        return {"tasks": {name: self._held[name][1] for name in asked}, "groups": {}, "group_map": {}}


Replies = dict[tuple[str, int], Reply]
"""(prompt, most new tokens) -> what was written."""


def _run(sitting: Sitting, side: str, loaded: Any) -> tuple[Mapping[str, Any], Replies]:
    """lm-eval's results of one side, with every sample; and what it wrote."""
    import lm_eval
    from lm_eval.api.model import LM

    written: Replies = {}

    class Judge(LM):  # type: ignore[misc]  # lm-eval ships no types
        """The engine behind lm-eval's interface."""

        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            return sitting.scores(side, [request.args for request in requests])

        def generate_until(self, requests: list[Any]) -> list[str]:
            asked = [_asked(request.args) for request in requests]
            for bound in sorted({bound for _, bound in asked}):
                prompts = [prompt for prompt, of in asked if of == bound]
                replies = sitting.replies(side, prompts, bound)
                written.update({(prompt, bound): reply for prompt, reply in zip(prompts, replies)})
            return [written[one].text for one in asked]

        def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
            raise MedslmError("no task of this project scores whole texts; use generate_until or multiple_choice")

    return lm_eval.evaluate(lm=Judge(), task_dict=loaded, bootstrap_iters=0, log_samples=True), written


def _asked(arguments: Sequence[Any]) -> tuple[str, int]:
    """Prompt and bound of a request to write."""
    return arguments[0], arguments[1]["max_gen_toks"]


def _outcome(task: Task, sample: Mapping[str, Any], written: Replies) -> Outcome:
    """One of lm-eval's samples."""
    document = sample["doc"]
    prompt = sample["arguments"][0][0]  # what the model was given, not what we meant to give
    common = Outcome(document["id"], prompt, document["key"], _measures(task, sample), subject=document.get("subject"))
    letters, answers = document["letters"], sample["filtered_resps"]
    if not document["choices"]:
        read = parsing.read(answers[0], document["options"]) if letters else parsing.Reading(None, "")
        reply = written[_asked(sample["arguments"][0])]
        common = replace(common, reply=answers[0], tokens=reply.tokens, cut=not reply.ended)
        return replace(common, letters=letters, pick=read.letter, rule=read.rule or None)
    logprobs = [float(logprob) for logprob, _ in answers]
    of_letters, words = logprobs[: len(letters)], logprobs[len(letters) :]
    picked = metrics.pick(letters, of_letters)
    return replace(
        common,
        letters=letters,
        logprobs=of_letters,
        words=words,
        pick=picked,
        meant=metrics.meant(document, picked) if task.again else None,
        before=document["before"] if task.again else None,
    )


def _measures(task: Task, sample: Mapping[str, Any]) -> dict[str, float]:
    """What the task measured of an answer. Raises `MedslmError` for what its record says that it cannot be."""
    found = {metric.name: sample[metric.name] for metric in task.metrics if metric.name in sample}
    for metric in task.metrics:
        if metric.name in found and (why := metric.forbids(found[metric.name])):
            raise MedslmError(
                f"{metric.name} of item {sample['doc']['id']} of {task.name} is {found[metric.name]}, but its {why}"
            )
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what lm-eval and transformers log below an error (some 40 lines a model), and name lm-eval's progress bars.

    Python's warnings stay.
    """
    from lm_eval.api import task

    loggers = [logging.getLogger(name) for name in ("lm_eval", "transformers")]
    levels, bar = [logger.level for logger in loggers], task.tqdm
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    task.tqdm = functools.partial(bar, desc="lm-eval's requests", unit="item", leave=False)
    try:
        yield
    finally:
        task.tqdm = bar
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
