"""The items of a benchmark as lm-eval documents, with prompts written by the code path that training uses."""

from __future__ import annotations

import json
import string
from typing import Any

from medslm.data.benchmark import benchmarks
from medslm.data.example import Example
from medslm.data.formats import formats
from medslm.data.formats.render import Renderer
from medslm.data.suite import Task
from medslm.errors import MedslmError

Document = dict[str, Any]


def render(task: Task, renderer: Renderer, limit: int | None = None) -> list[Document]:
    """Every item of the task, or `limit` items spread evenly over it. Raises `MedslmError` if there is none."""
    items = list(benchmarks[task.benchmark].examples())
    if not items or (limit is not None and limit < 1):
        raise MedslmError(
            f"{task.name} was to be judged on {limit} of {len(items)} items; ask for at least one with --limit, or "
            f"mend benchmark '{task.benchmark}'"
        )
    stride = 1 if limit is None else max(1, len(items) // limit)
    return [document(item, renderer) for item in items[::stride][:limit]]


def document(item: Example, renderer: Renderer) -> Document:
    """One item. `prompt` is all that the model sees; `key` is the answer's fields, or the right choice's letter."""
    choices = renderer.choices(item) if item.options else []
    letters = list(string.ascii_uppercase[: len(choices)])
    common = {"id": item.id, "prompt": renderer.prompt(item), "choices": choices, "letters": letters}
    if choices:
        right = renderer.format.key_of(item)
        return {**common, "key": letters[right], "target": choices[right]}
    if isinstance(item.output, str):
        return {**common, "key": item.output, "target": item.output}
    name = next(name for name, format in formats.items() if format is renderer.format)
    return {**common, "key": dict(item.output), "target": renderer.format.answer_of(item), "format": name}


def dataset(task: str, documents: str, **_: Any) -> dict[str, Any]:
    """What lm-eval calls for the documents of `task`; `documents` is JSON, since lm-eval copies its metadata about."""
    import datasets

    return {"test": datasets.Dataset.from_list(json.loads(documents)[task])}
