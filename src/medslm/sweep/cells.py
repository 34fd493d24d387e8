"""What a sweep trains: the product of its recipes and of the values of their fields, each under a name of its own.

A value is written as it would follow its option on the recipe's own command line, and values are separated by commas:
`learning_rate=1e-4,2e-4`, `mixture="medqa=1","medqa=1 medmcqa=0.5"`. Quotes keep a comma or a blank inside of a word.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import medslm.data.builders  # noqa: F401  (registers the corpora)
from medslm import files
from medslm.data.formats import formats
from medslm.data.sources import own
from medslm.data.suites import suites
from medslm.errors import MedslmError
from medslm.hub import gather
from medslm.models.base import resolve
from medslm.models.lora import loras
from medslm.recipe import NAME, Run, Sft
from medslm.registry import nearest
from medslm.train import launch

OWN = ("name", "runs")
"""Options of a recipe that a sweep gives itself."""

VALUE = re.compile(r"""(?:[^,"']|"[^"]*"|'[^']*')+""")
PLAIN = re.compile(r"[a-z0-9]+(?:[._= -][a-z0-9]+)*")
"""A value that can be read in a name again; any other is told apart by a few digits of its hash."""

LONGEST = 96
"""Letters of a repository's name on the Hub."""


@dataclass(frozen=True)
class Cell:
    """One combination."""

    name: str
    """Of its run: the recipe's, then each field with its value. Values that join later rename nothing."""

    recipe: Path
    """The recipe's file."""

    changes: Mapping[str, str]
    """Field -> value, as it was written."""

    asked: Run
    """The recipe with its changes."""

    @property
    def options(self) -> list[str]:
        """The recipe's command line, without the folder of the runs."""
        changed = [[_option(field), *shlex.split(value)] for field, value in self.changes.items()]
        return [*itertools.chain.from_iterable(changed), "--name", self.name]


def combine(recipes: Sequence[Path], sets: Iterable[str], variants: Sequence[str] = ()) -> list[Cell]:
    """Every combination of the recipes with the variants and the values in `sets`, in the order in which they stand.

    A set is `field=value,value`; a variant is several fields that change together, `trainer=full lora=none`, or nothing.
    Raises `MedslmError` for no recipe, a field that a recipe has not, a value that it refuses, a name that is not
    registered, and two runs of one name, or of one recipe with the same values.
    """
    if not recipes:
        raise MedslmError(
            "a sweep was asked for without a recipe; name one, as in --recipe recipes/smollm2_icd10_lora.py"
        )
    values: dict[str, list[str]] = {}
    for field, of_field in map(values_of, sets):
        if field in values:
            raise MedslmError(f"--set names {field} twice; write its values side by side, separated by commas")
        values[field] = of_field
    together = [variant_of(told) for told in variants] or [{}]
    for field in {field for variant in together for field in variant} & values.keys():
        raise MedslmError(f"{field} is named both by --set and by --variant; leave it out of one of them")
    found = [
        _cell(path, recipe, {**variant, **dict(zip(values, combination))})
        for path, recipe in ((path, _run(path)) for path in recipes)
        for variant in together
        for combination in itertools.product(*values.values())
    ]
    seen: dict[str, Cell] = {}
    for cell in found:
        if other := seen.get(cell.name):
            raise MedslmError(
                f"two runs would be called '{cell.name}': {_told(other)}, and {_told(cell)}; leave one of them out"
            )
        if twin := next((other for other in seen.values() if _same(cell, other)), None):
            raise MedslmError(f"two runs would be the same: {_told(twin)}, and {_told(cell)}; leave one of them out")
        seen[cell.name] = cell
    return found


def _same(one: Cell, other: Cell) -> bool:
    """Whether two cells of a recipe differ in nothing but their names: 1e-3 and 0.001 are one number."""
    return one.recipe == other.recipe and dataclasses.replace(one.asked, name=other.asked.name) == other.asked


def values_of(told: str) -> tuple[str, list[str]]:
    """`mixture=a=1,a=1 b=1` -> `("mixture", ["a=1", "a=1 b=1"])`. Raises `MedslmError` for what cannot be read so."""
    field, equals, rest = told.partition("=")
    field, values = field.strip().lstrip("-").replace("-", "_"), VALUE.findall(rest)
    if not (field and equals and values) or ",".join(values) != rest:
        raise MedslmError(
            f"--set {told} is not read; write field=value,value, such as learning_rate=1e-4,2e-4, or "
            'mixture="medqa=1","medqa=1 medmcqa=1"'
        )
    if field in OWN:
        raise MedslmError(
            f"--set {told}: a sweep gives its runs their names and their folder itself; leave {field} out"
        )
    values = [value.strip() for value in values]
    try:
        empty = [value for value in values if not shlex.split(value)]
    except ValueError as error:  # a backslash at the end
        raise MedslmError(
            f"--set {told} is not read: {error}; quote a value that holds a backslash or quotes"
        ) from error
    if empty:
        raise MedslmError(f'--set {told} has a value of nothing but blanks; leave it out, or write "" for an empty one')
    return field, values


def variant_of(told: str) -> dict[str, str]:
    """`trainer=full mixture='a=1 b=1'` -> `{"trainer": "full", "mixture": "a=1 b=1"}`. Raises `MedslmError` likewise."""
    try:
        pairs = [word.partition("=") for word in shlex.split(told)]
    except ValueError as error:
        raise MedslmError(f"--variant {told} is not read: {error}") from error
    named = [field.lstrip("-").replace("-", "_") for field, _, _ in pairs]
    if twice := next((field for field in named if named.count(field) > 1), None):
        raise MedslmError(f"--variant {told} names {twice} twice; a variant gives each field one value")
    found = dict(zip(named, (value for _, _, value in pairs)))
    if bad := [field for field, equals, value in pairs if not (field and equals and value)]:
        raise MedslmError(
            f"--variant {told} is not read, at '{bad[0]}'; write field=value field=value, such as trainer=full lora=none, "
            "and quotes around a value with blanks: mixture='medqa=1 medmcqa=1'"
        )
    if own := [field for field in OWN if field in found]:
        raise MedslmError(f"--variant {told}: a sweep gives its runs their names and their folder; leave {own[0]} out")
    return found


def _run(path: Path) -> Run:
    recipe = gather.recipe(path)
    if not isinstance(recipe, Run):
        raise MedslmError(
            f"the RECIPE of {path} cannot be trained by itself; a sweep takes recipe.Sft and recipe.Pretrain"
        )
    return recipe


def _cell(path: Path, recipe: Run, changes: Mapping[str, str]) -> Cell:
    known = [field.name for field in dataclasses.fields(recipe)]
    for field in changes:
        if field not in known:
            raise MedslmError(
                f"{path} has no field '{field}'{nearest(field, known)} `python {path} --help` shows its fields"
            )
    cell = Cell(_name(recipe.name, changes), path, changes, recipe)
    try:
        cell = dataclasses.replace(cell, asked=launch.parse(recipe, cell.options).recipe)
    except SystemExit:
        raise MedslmError(f"{_told(cell)} is refused, as said above; mend the values of --set") from None
    try:
        _require_names(cell.asked)
    except MedslmError as error:
        raise MedslmError(f"{_told(cell)}: {error}") from None
    return cell


def _require_names(asked: Run) -> None:
    """Raise `MedslmError` for a name that stands for nothing: a run that is far down the list would tell it too late."""
    resolve(asked.base)
    if isinstance(asked, Sft):
        loras[asked.lora]
    for format in {asked.format, *asked.formats.values()}:
        formats[format]
    for name in asked.mixture:
        own.resolve(name, asked.columns, asked.licenses)
    if asked.suite:
        suites[asked.suite]


def _name(recipe: str, changes: Mapping[str, str]) -> str:
    words = [recipe]
    for field, value in changes.items():
        words += [field, value] if PLAIN.fullmatch(value) else [field, value, _digest(value, 6)]
    name = re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-")
    if len(name) > LONGEST:
        name = f"{name[: LONGEST - 9].strip('-')}-{_digest(repr([recipe, dict(changes)]), 8)}"
    assert NAME.fullmatch(name)
    return name


def _digest(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def _option(field: str) -> str:
    return f"--{field.replace('_', '-')}"


def _told(cell: Cell) -> str:
    return " ".join([str(cell.recipe), *(f"{field}={value}" for field, value in cell.changes.items())])


def differences(cell: Cell, told: Mapping[str, object]) -> Iterator[str]:
    """`seed 1 -> 2` for what the recipe in an earlier `run.json` was to learn otherwise than this cell."""
    for field, value in files.as_json(cell.asked.learnt()).items():
        if field in told and told[field] != value:
            yield f"{field} {told[field]} -> {value}"
