"""The items of a benchmark as lm-eval documents, with prompts written by the code path that training uses."""

from __future__ import annotations

import json
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from medslm.data import given, options, reasoned
from medslm.data.corpus import Row
from medslm.data.example import Example
from medslm.data.formats import formats
from medslm.data.formats.notation import ENDS
from medslm.data.formats.render import Renderer
from medslm.data.suite import Form, Task
from medslm.errors import MedslmError
from medslm.evals.continuing import continued

Document = dict[str, Any]
T = TypeVar("T")


def render(
    task: Task, renderer: Renderer, limit: int | None = None, left_out: Counter[str] | None = None
) -> list[Document]:
    """Every item of the task, or `limit` items spread evenly over it; `left_out` counts by reason what is no item of it.

    Raises `MedslmError` if there is none, if two have one id, and for a format in which nothing is asked.
    """
    if renderer.format.layout and not renderer.format.layout.prompted:
        raise MedslmError(f"{task.name} asks questions, and the recipe's format asks none; choose 'chat' or 'question'")
    left_out = Counter() if left_out is None else left_out
    items = list(given.read(given.benchmark(task.benchmark), left_out))
    if not items:
        raise empty(task.benchmark, left_out)
    documents, places = [], []
    for row, item in spread(items, limit):
        if (written := FORMS[task.form](item, renderer)) is not None:
            documents.append(written | _subject(task, row))
            places.append(getattr(row, "place", ""))
        else:
            left_out["its options stand in a fixed order"] += 1
    _check(task, documents, places)
    return documents


def empty(benchmark: str, left_out: Counter[str]) -> MedslmError:
    """What is said of a benchmark none of whose rows is an item."""
    why = ", ".join(f"{reason} ({number:,})" for reason, number in left_out.most_common())
    return MedslmError(
        f"no row of benchmark '{benchmark}' can be asked: {why or 'it has no rows'}; mend the data, or name another file "
        f"with --data {benchmark}=PATH"
    )


def spread(values: Sequence[T], most: int | None) -> list[T]:
    """At most `most` of the values, evenly over them; all without a bound."""
    if most is None or most >= len(values):
        return list(values)
    return [values[place * len(values) // most] for place in range(most)]


def _subject(task: Task, row: Row) -> Document:
    if not task.subject:
        return {}
    if task.subject not in row:
        raise MedslmError(
            f"{task.name} is told by subject, but a row of benchmark '{task.benchmark}' has no column {task.subject}; it "
            f"has {', '.join(row)}. Add the column, empty where the subject is unknown"
        )
    return {"subject": str(row[task.subject] or "")}


def _check(task: Task, documents: list[Document], places: Sequence[str]) -> None:
    """Raise `MedslmError` if there is nothing to ask, or if two items have one id; `places` are those of their rows."""
    if not documents:
        raise MedslmError(f"no item of {task.name} can be asked in this form; ask for more items with --limit")
    first: dict[str, str] = {}
    for asked, place in zip(documents, places):
        if (id := asked["id"]) in first:
            where = f" ({first[id]}; {place})" if place else ""
            raise MedslmError(
                f"{task.name} has two items called {id}{where}, so answers could not be paired; give each its own id, or "
                "take one out if the rows of this benchmark carry none"
            )
        first[id] = place


def document(item: Example, renderer: Renderer) -> Document:
    """One item. `prompt` is all that the model sees; `key` is the answer's fields, or the right choice's letter; `input`
    is the item's text without what was asked about it.

    Where the letter is the answer, `rivals` are what is scored: each letter, then the words of each option.
    """
    choices = renderer.choices(item) if item.options else []
    letters = list(string.ascii_uppercase[: len(choices)])
    common: Document = {"id": item.id, "input": item.input, "prompt": renderer.prompt(item)}
    common |= {"choices": choices, "letters": letters}
    if choices:
        right = renderer.format.key_of(item)
        common |= {"key": letters[right], "target": choices[right]}
        return common | (_lettered(item, choices) if isinstance(item.output, str) else {})
    if isinstance(item.output, str):
        return {**common, "key": item.output, "target": item.output}
    name = next(name for name, format in formats.items() if format is renderer.format)
    return {**common, "key": dict(item.output), "target": renderer.format.answer_of(item), "format": name}


def _lettered(item: Example, choices: list[str]) -> Document:
    lead = choices[0][:-1]  # what the base's template and the format put before an answer; the rest is the letter `A`
    return {
        "options": list(item.options),
        "rivals": [*choices, *(lead + option.strip(ENDS) for option in item.options)],
    }


def shuffled(item: Example, renderer: Renderer) -> Document | None:
    """The item with its options in another order, drawn by its id; none where there is no other order.

    `order` are the places at which the options stood before. Options that speak of the others stay where they are.
    """
    order = options.drawn(item.options, f"options {item.id}", other=True)
    if order is None:
        return None
    return {**document(options.put(item, order, renderer.format.key_of(item)), renderer), "order": order}


def in_writing(item: Example, renderer: Renderer) -> Document:
    """The item to be answered in writing, after thoughts: a format that asks for thoughts itself is left as it is."""
    asked = item if renderer.format.thinks else reasoned.question(item)
    letters = list(string.ascii_uppercase[: len(item.options)])
    common = {"id": item.id, "input": item.input, "prompt": renderer.prompt(asked), "choices": [], "letters": letters}
    return {**common, "options": list(item.options), "key": item.output, "target": item.output}


FORMS: dict[Form, Callable[[Example, Renderer], Document | None]] = {
    "asked": document,
    "shuffled": shuffled,
    "reasoned": in_writing,
    "continued": continued,
}


def dataset(task: str, documents: str, **_: Any) -> dict[str, Any]:
    """What lm-eval calls for the documents of `task`; `documents` is JSON, since lm-eval copies its metadata about."""
    import datasets

    return {"test": datasets.Dataset.from_list(json.loads(documents)[task])}
