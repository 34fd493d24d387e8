"""One model through lm-eval, in memory: the only file that knows lm-eval.

lm-eval reads the tasks, builds the requests, calls the metrics and adds up; the model behind its `LM` interface is
`medslm.evals.engine`, which agrees with lm-eval's own `HFLM` in float32 (`tests/evals/test_harness.py`). `HFLM` 0.4.13
cannot be used as it stands: it compares letters in bfloat16, moves the prompt's last newline into the continuation,
strips a stop token before it looks for it, cuts long prompts from the left, and takes six times as long on a CPU.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
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
from medslm.evals.engine import Engine

TASKS = Path(__file__).parent / "tasks"


@dataclass(frozen=True)
class Outcome:
    """What a model did with one item."""

    id: str
    prompt: str
    key: str | Mapping[str, str]
    correct: Mapping[str, int]
    """Metric -> 1 if it holds, else 0."""

    reply: str | None = None
    """Written tasks only."""

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
            "rule": self.rule,
            "logprobs": dict(zip(self.letters, self.logprobs)) or None,
            "words": dict(zip(self.letters, self.words)) or None,
            "pick": self.pick,
            "meant": self.meant,
            "before": self.before,
            "key": self.key,
            "correct": self.correct,
        }
        return json.dumps({name: value for name, value in record.items() if value is not None}, ensure_ascii=False)


@dataclass(frozen=True)
class Judged:
    """All outcomes of one model, by task, and the seconds they took."""

    outcomes: Mapping[str, list[Outcome]]
    seconds: float

    versions: Mapping[str, float] = field(default_factory=dict)
    """Of each task's YAML."""


def version() -> str:
    """lm-eval's version."""
    import importlib.metadata

    return importlib.metadata.version("lm_eval")


def evaluate(
    model: Any,
    tokenizer: Any,
    suite: Suite,
    *,
    renderer: Renderer,
    out: Path,
    batch_size: int,
    limit: int | None = None,
    tasks: Path = TASKS,
) -> Judged:
    """Ask one model everything in `suite` and write its answers to `out/<task>.jsonl`.

    `tasks` is the folder of the YAMLs. Raises `MedslmError` for an item that the model cannot read as a whole.
    """
    started = time.monotonic()
    asked = {task.name: documents.render(task, renderer, limit) for task in suite.tasks}
    engine = Engine(model, tokenizer, renderer, batch_size)
    outcomes: dict[str, list[Outcome]] = {}
    versions: dict[str, float] = {}
    with _quiet():
        for stage in suite.stages:
            of_stage = {task.name: _remembering(task, asked[task.name], outcomes) for task in stage}
            loaded = _load(of_stage, renderer, tasks)
            for name, task in loaded["tasks"].items():
                refuse_truncation(
                    name, asked[name], engine, (task.config.generation_kwargs or {}).get("max_gen_toks", 0)
                )
            found = _run(engine, loaded)
            outcomes |= {
                task.name: [_outcome(task, sample) for sample in found["samples"][task.name]] for task in stage
            }
            versions |= {task.name: found["versions"][task.name] for task in stage}
    for name, of_task in outcomes.items():
        files.write_text(out / f"{name}.jsonl", "".join(outcome.as_json() + "\n" for outcome in of_task))
    return Judged(outcomes, time.monotonic() - started, versions)


def _remembering(task: Task, asked: list[Document], outcomes: Mapping[str, list[Outcome]]) -> list[Document]:
    """The documents of a task that asks again, each with the answer that its item got before."""
    if not task.again:
        return asked
    picks = {outcome.id: outcome.pick for outcome in outcomes[task.again]}
    return [{**document, "before": picks[document["id"]]} for document in asked]


def _load(asked: Mapping[str, list[Document]], renderer: Renderer, folder: Path) -> Any:
    """lm-eval's tasks over these documents; without its own 12,000, which take half a minute to index."""
    from lm_eval.tasks import TaskManager

    manager = TaskManager(
        include_defaults=False, include_path=[str(folder)], metadata={"documents": json.dumps(dict(asked))}
    )
    if missing := [name for name in asked if name not in manager.all_tasks]:
        raise MedslmError(f"{folder} has no task called {', '.join(missing)}; add its YAML, or mend the suite's record")
    loaded = manager.load(list(asked))
    for task in loaded["tasks"].values():
        if task.OUTPUT_TYPE == "generate_until":
            task.set_config("generation_kwargs", {"until": [renderer.end_of_turn]}, update=True)
    return loaded


def refuse_truncation(task: str, asked: Sequence[Document], engine: Engine, max_new_tokens: int) -> None:
    """Raise `MedslmError` if a prompt with its reply would not fit the model, or a key not the reply."""
    for document in asked:
        prompt = len(engine.renderer.ids(document["prompt"]))
        answers = [document["target"], *document["choices"], *document.get("rivals", ())]
        key = max(len(engine.renderer.ids(answer)) for answer in answers)
        if max_new_tokens and key >= max_new_tokens:
            raise MedslmError(
                f"the key of item {document['id']} of {task} has {key} tokens and an end, but a reply may have only "
                f"{max_new_tokens}; raise max_gen_toks in {task}.yaml"
            )
        if engine.room is not None and (whole := prompt + (max_new_tokens or key)) > engine.room:
            raise MedslmError(
                f"item {document['id']} of {task} needs {whole} tokens, prompt and reply together, but the model reads "
                f"{engine.room}; take the item out of the benchmark or choose a base with a longer context"
            )


def _run(engine: Engine, loaded: Any) -> Mapping[str, Any]:
    """lm-eval's results, with every sample."""
    import lm_eval
    from lm_eval.api.model import LM

    class Judge(LM):  # type: ignore[misc]  # lm-eval ships no types
        """The engine behind lm-eval's interface."""

        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            return engine.score([request.args for request in requests])

        def generate_until(self, requests: list[Any]) -> list[str]:
            bound = max(request.args[1]["max_gen_toks"] for request in requests)
            return engine.reply([request.args[0] for request in requests], bound)

        def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
            raise MedslmError("no task of this project scores whole texts; use generate_until or multiple_choice")

    results: Mapping[str, Any] = lm_eval.evaluate(lm=Judge(), task_dict=loaded, bootstrap_iters=0, log_samples=True)
    return results


def _outcome(task: Task, sample: Mapping[str, Any]) -> Outcome:
    """One of lm-eval's samples."""
    document = sample["doc"]
    prompt = sample["arguments"][0][0]  # what the model was given, not what we meant to give
    correct = {metric.name: int(sample[metric.name]) for metric in task.metrics}
    common = Outcome(document["id"], prompt, document["key"], correct, subject=document.get("subject"))
    letters, answers = document["letters"], sample["filtered_resps"]
    if not document["choices"]:
        read = parsing.read(answers[0], document["options"]) if letters else parsing.Reading(None, "")
        return replace(common, reply=answers[0], letters=letters, pick=read.letter, rule=read.rule or None)
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


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what lm-eval and transformers log below an error (some 40 lines a model); Python's warnings stay."""
    loggers = [logging.getLogger(name) for name in ("lm_eval", "transformers")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
