"""From a row to examples, by the plan that its columns give."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from medslm.data.corpus import Row, Skip
from medslm.data.example import Example, Structure, leaves
from medslm.data.sources.readers.located import Located, named
from medslm.data.sources.shapes import chat, choice
from medslm.data.sources.shapes.chat import Turn
from medslm.data.sources.shapes.mapping import Columns
from medslm.data.sources.shapes.plans import CONVERSATION, MAPPED, Plan, plan
from medslm.data.sources.shapes.values import Unfit, is_empty, joined, scalar
from medslm.errors import MedslmError


def examples(row: Row, columns: Columns) -> Iterator[Example]:
    """The examples of one row: one for each reply of a conversation, otherwise one.

    Raises `MedslmError` with file and line if it does not have the shape of the corpus's first row, and `Skip`.
    """
    located = row if isinstance(row, Located) else _unplaced(row)
    try:
        planned = plan(tuple(located), columns)
        first = plan(located.header or tuple(located), columns)
        if first.shape != planned.shape:
            raise Unfit(
                f"its columns ({named(tuple(located))}) are {planned.shape}, those of the first row were {first.shape}; "
                "give all rows one shape, or name the columns"
            )
        if ("id" in first.roles) != ("id" in planned.roles):
            raise Unfit("some rows have the column of the id and some do not; give it to all rows or to none")
        yield from _Maker(planned, located).examples()
    except Unfit as unfit:
        raise MedslmError(f"{located.place}: {unfit}") from None


def _unplaced(row: Row) -> Located:
    """A row that has lost its place on the way is known by its content."""
    placed = Located(dict(row), "a row", "number", 0)
    placed.key = _digest(json.dumps(placed, sort_keys=True, default=str))
    return placed


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def id_of(planned: Plan, row: Located) -> str:
    """The row's id, or where it stands if no column holds one. Raises `Unfit` for an empty id."""
    if "id" not in planned.roles:
        return row.key
    (column,) = planned.roles["id"].columns
    told = scalar(row[column], column)
    if not told.strip():
        raise Unfit(
            f"column {column} is empty; give every row an id of its own, or rename the column to have rows counted"
        )
    return told


@dataclass(frozen=True)
class _Maker:
    """Makes the examples of one row."""

    plan: Plan
    row: Located

    def cells(self, *roles: str) -> dict[str, Any]:
        return {c: self.row[c] for role in roles if role in self.plan.roles for c in self.plan.roles[role].columns}

    def text(self, role: str) -> str:
        """A role that is always text; empty where the shape does not have it."""
        if role not in self.plan.roles:
            return ""
        constant = self.plan.roles[role].constant
        return constant if constant is not None else next(scalar(v, c) for c, v in self.cells(role).items())

    def value(self, *roles: str) -> str | Structure:
        """Text or named parts, of all columns of the roles together."""
        constants = [taken.constant for role, taken in self.plan.roles.items() if role in roles and taken.constant]
        cells = self.cells(*roles)
        return joined(cells) if cells else "".join(constants)

    def examples(self) -> Iterator[Example]:
        conversation = self._conversation()
        if conversation is None:
            yield self._single()
            return
        told, first = conversation
        id, system = id_of(self.plan, self.row), self.text("system")
        if system.strip():
            told, first = [("system", system), *told], first + 1
        made = list(chat.replies(told, first))
        for number, (before, asked, reply) in enumerate(made, 1):
            named_id = id if len(made) == 1 else f"{id}/{number}"
            yield Example(
                named_id, self.text("instruction"), asked, reply, self.text("family") or id, turns=tuple(before)
            )

    def _conversation(self) -> tuple[list[Turn], int] | None:
        """The turns, and from which on replies are learnt; nothing if the row is no conversation."""
        if CONVERSATION in self.plan.roles:
            return next(chat.turns(value, c) for c, value in self.cells(CONVERSATION).items()), 0
        asked, answered = self.cells("input"), self.cells("output")
        if self.plan.shape == MAPPED or not any(map(_is_chat, [*asked.values(), *answered.values()])):
            return None
        sides = [[turn for c, v in side.items() for turn in chat.turns(v, c)] for side in (asked, answered)]
        return sides[0] + sides[1], len(sides[0])

    def _single(self) -> Example:
        instruction, asked, answer = self.text("instruction"), self.value("context", "input"), self.value("output")
        id, options = id_of(self.plan, self.row), tuple[str, ...]()
        if "options" in self.plan.roles:
            answer, options = self._choice(answer)
        if is_empty(answer):
            raise Skip("the answer is empty")
        asks = {"instruction", "input"} & set(self.plan.roles) and "turns" not in self.plan.roles
        if asks and is_empty(instruction) and is_empty(asked):
            raise Skip("the question is empty")
        return Example(
            id, instruction, asked, answer, self._family(id, asked), options, self.text("reasoning"), self._turns()
        )

    def _choice(self, answer: str | Structure) -> tuple[str | Structure, tuple[str, ...]]:
        """The key as a letter, or fields whose first value is an option; and the options."""
        cells = self.cells("options")
        if all(value is None or value in ("", [], ()) for value in cells.values()):
            if self.plan.shape == "multiple choice":
                raise Skip("there are fewer than two options")
            return answer, ()
        options = choice.options_of(cells)
        texts = tuple(text for _, text in options)
        mapped = self.plan.roles["output"]
        key = self.row[mapped.columns[0]]
        if isinstance(answer, Mapping) and not chat.is_turns(key):
            if next(iter(answer.values()), None) not in texts:
                raise Unfit("the first field of the output is none of the options; it says which of them is right")
            return answer, texts
        return choice.letter(key, options, mapped), texts

    def _family(self, id: str, asked: str | Structure) -> str:
        """Rows with one family or one input (a note, a passage) belong together; a row without either stands alone."""
        if told := self.text("family").strip():
            return told
        held = self.cells("context")
        shared = joined(held) if held else asked
        return id if is_empty(shared) else _digest("\n".join(leaves(shared)))

    def _turns(self) -> tuple[Turn, ...]:
        """What was said before: the column `turns` as this library writes it, behind the column `system`."""
        before: list[Turn] = [("system", system)] if (system := self.text("system")).strip() else []
        for column, value in self.cells("turns").items():
            for turn in value if chat.is_turns(value) else ():
                if len(turn) != 2 or turn[0] not in chat.ROLES.values():
                    raise Unfit(
                        f"column {column} holds something else than pairs of (system, user or assistant) and text"
                    )
                before.append((turn[0], scalar(turn[1], column)))
        return tuple(before)


def _is_chat(value: Any) -> bool:
    return chat.is_turns(value) and bool(value) and all(isinstance(turn, Mapping) and "role" in turn for turn in value)
