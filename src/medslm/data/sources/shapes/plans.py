"""Which column is what: recognised by the columns' names, or as the user says; what could be two things is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from medslm.data.sources.readers.located import named
from medslm.data.sources.shapes import choice, mapping
from medslm.data.sources.shapes.mapping import Columns, Mapped
from medslm.data.sources.shapes.values import Unfit

ASK = ("question", "query", "problem", "prompt")
ANSWER = ("answer", "response", "solution")
CONTEXT = ("context", "contexts", "passage")
THOUGHTS = ("complex_cot", "reasoning", "thinking")
EVERYWHERE = {"id": ("id",), "family": ("family",)}
NOT_PLAIN = ("label", "labels", "target", "class", "category", "summary", "answer", "output", "response", "completion")
"""Columns that make of a `text` beside them something other than text to be continued."""
CONVERSATION = "messages"
"""The role of a column that holds turns; all other roles are fields of an example, `context` or `system`."""
HOW = (
    "say which column is what, in the recipe as columns={'input': 'COLUMN', 'output': 'COLUMN'}, on the command line as "
    "--columns input=COLUMN output=COLUMN (fields: " + ", ".join(mapping.FIELDS) + "; =TEXT is a constant)"
)


@dataclass(frozen=True)
class Shape:
    """A known set of columns: for each role the names, in lower case, that its column may have."""

    name: str
    needs: Mapping[str, tuple[str, ...]]
    may: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


_ALPACA = {
    "input": ("input", "context"),
    "system": ("system",),
    "reasoning": THOUGHTS,
    "options": ("options",),
    "turns": ("turns",),
}
_BESIDE = {"reasoning": THOUGHTS, "context": CONTEXT, "system": ("system",)}
SHAPES = (  # where one holds all that a later one needs, it is the one
    Shape("chat messages", {CONVERSATION: ("messages",)}, {"system": ("system",)}),
    Shape("ShareGPT conversations", {CONVERSATION: ("conversations", "conversation")}, {"system": ("system",)}),
    Shape("prompt and completion", {"input": ("prompt",), "output": ("completion",)}, {"system": ("system",)}),
    Shape("instruction and output", {"instruction": ("instruction",), "output": ("output", "response")}, _ALPACA),
    Shape("input and output", {"input": ("input",), "output": ("output",)}, {**_ALPACA, "input": ()}),
    Shape("multiple choice", {"input": (*ASK, "sent1"), "options": (), "output": choice.KEYS}, _BESIDE),
    Shape("question, context and answer", {"input": ASK, "context": CONTEXT, "output": ANSWER}, _BESIDE),
    Shape("question, thoughts and answer", {"input": ASK, "reasoning": THOUGHTS, "output": ANSWER}, _BESIDE),
    Shape("question and answer", {"input": ASK, "output": ANSWER}, {"system": ("system",)}),
)
TEXT = Shape("text to be continued", {"output": ("text",)})
MAPPED = "columns as mapped"


@dataclass(frozen=True)
class Plan:
    """What each role is taken from, for rows with one set of columns."""

    shape: str
    roles: Mapping[str, Mapped]
    unused: tuple[str, ...]

    @property
    def told(self) -> str:
        """`question and answer (input <- question, output <- answer)`, and what is not used."""
        taken = [f"{role} <- {_source(mapped)}" for role, mapped in self.roles.items()]
        return f"{self.shape} ({', '.join(taken)}); not used: {named(self.unused)}"


def _source(mapped: Mapped) -> str:
    counted = f" ({mapped.key})" if mapped.key else ""
    return "a constant" if mapped.constant is not None else named(mapped.columns) + counted


@lru_cache(maxsize=1024)  # JSON rows may leave columns out, so a corpus has a few sets of them
def plan(there: tuple[str, ...], columns: Columns) -> Plan:
    """What the columns `there` are, the user's `columns` first. Raises `Unfit` if that cannot be told."""
    mapped = {name: mapping.find(name, value, there) for name, value in columns}
    if "output" in mapped:  # the user has said what is learnt, so nothing is guessed beside it
        shape, roles = MAPPED, dict(mapped)
    else:
        shape, found = _recognise(there)
        roles = {**found, **mapped}
        if "input" in mapped:
            roles.pop("context", None)
        allowed = ("id", "family", "instruction")
        if CONVERSATION in roles and (more := [name for name in mapped if name not in allowed]):
            raise Unfit(f"{', '.join(more)} cannot be mapped beside {shape}, which hold it; map {', '.join(allowed)}")
    if "options" in roles and not roles["output"].key:
        roles["output"] = _keyed(roles["options"], roles["output"])
    used = {column for taken in roles.values() for column in taken.columns}
    return Plan(shape, roles, tuple(column for column in there if column not in used))


def _keyed(options: Mapped, output: Mapped) -> Mapped:
    if not output.columns:
        raise Unfit("output is a constant beside options; map it to the column that says which option is right")
    return Mapped(output.columns, key=choice.counted(options.columns, output.columns[0]))


@dataclass(frozen=True)
class _Match:
    """A shape whose columns are all there."""

    shape: Shape
    roles: Mapping[str, Mapped]
    needed: frozenset[str]
    """Columns that may stand for what the shape needs; more than one for a role is not decided."""
    claimed: frozenset[str]
    """Those, and what it may have besides."""
    undecided: tuple[str, ...]


def _recognise(there: tuple[str, ...]) -> tuple[str, dict[str, Mapped]]:
    """The one shape of these columns, and its roles. Raises `Unfit` for none and for several."""
    kept: list[_Match] = []
    for shape in SHAPES:
        match = _match(shape, there)
        if match and not any(match.needed <= earlier.claimed for earlier in kept):
            kept.append(match)
    lower = {column.lower() for column in there}
    if not kept and "text" in lower and not lower & set(NOT_PLAIN) and (plain := _match(TEXT, there)):
        kept = [plain]
    if not kept:
        raise Unfit(f"the columns ({named(there)}) are those of no known shape; {HOW}")
    if len(kept) > 1:
        ways = " or as ".join(
            f"{match.shape.name} ({named([column for column in there if column in match.needed])})" for match in kept
        )
        raise Unfit(f"the columns ({named(there)}) could be read as {ways}; {HOW}")
    if kept[0].undecided:
        raise Unfit(f"several columns could be one field: {'; '.join(kept[0].undecided)}; {HOW}")
    return kept[0].shape.name, dict(kept[0].roles)


def _match(shape: Shape, there: tuple[str, ...]) -> _Match | None:
    """The columns that a shape would take, if all that it needs is there."""
    found = {role: tuple(c for c in there if c.lower() in names) for role, names in shape.needs.items()}
    chosen = _choice(found, there) if "options" in shape.needs else {}
    if not all({**found, **chosen}.values()):
        return None
    needed = frozenset(column for columns in [*found.values(), *chosen.values()] for column in columns)
    beside = {role: names for role, names in {**shape.may, **EVERYWHERE}.items() if role not in shape.needs}
    extra = {role: tuple(c for c in there if c.lower() in names and c not in needed) for role, names in beside.items()}
    claimed = needed | {column for columns in extra.values() for column in columns}
    several = {role: columns for role, columns in {**found, **extra}.items() if role not in chosen and len(columns) > 1}
    undecided = tuple(f"{role} from {named(columns)}" for role, columns in several.items())
    roles = {role: Mapped(columns) for role, columns in {**found, **extra, **chosen}.items() if columns}
    return _Match(shape, roles, needed, claimed, undecided)


def _choice(found: Mapping[str, tuple[str, ...]], there: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """What is decided otherwise in multiple choice: the options' columns, the surest key, and SWAG's two sentences."""
    lower = {column.lower(): column for column in there}
    options = tuple(lower[name] for name in choice.LISTS if name in lower)[:1] or choice.series(lower)
    keys = sorted(found["output"], key=lambda column: choice.KEYS.index(column.lower()))
    chosen = {"options": options, "output": tuple(keys[:1])}
    sentences = tuple(lower[name] for name in ("sent1", "sent2") if name in lower)
    return chosen | ({"input": sentences} if found["input"] == sentences[:1] != () else {})
