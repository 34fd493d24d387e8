"""What recipes read of the Hub: their bases, their corpora, and the benchmarks that judge and screen them."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import medslm.data.builders  # noqa: F401  (registers the corpora and benchmarks)
from medslm.data.benchmark import benchmarks
from medslm.data.corpus import corpora
from medslm.data.sources import own
from medslm.data.sources.hub import Dataset
from medslm.data.suites import suites
from medslm.errors import MedslmError
from medslm.models.base import Base, bases, resolve
from medslm.recipe import Lesson, Pretrain


@dataclass
class Needs:
    """Repositories, by what they are needed for."""

    bases: dict[str, Base] = field(default_factory=dict)
    """By Hub id."""

    tokenizers: dict[str, Base] = field(default_factory=dict)
    """By Hub id: bases of which a pretraining reads the tokenizer, and no weights."""

    runs: dict[str, list[str]] = field(default_factory=dict)
    """Earlier run -> the recipes that begin with its weights."""

    required: dict[Dataset, list[str]] = field(default_factory=dict)
    """Dataset -> the corpora and benchmarks that read it, without which a recipe does not run."""

    welcome: dict[Dataset, list[str]] = field(default_factory=dict)
    """Dataset -> the other benchmarks with which training data is compared, where they can be read."""

    elsewhere: dict[str, list[str]] = field(default_factory=dict)
    """Source that is not on the Hub (`pypi:NAME`, `local:PATH`) -> the corpora and benchmarks that read it."""

    @property
    def datasets(self) -> dict[Dataset, list[str]]:
        """All of them, the required first."""
        both = {**self.required, **self.welcome}
        return {one: [*self.required.get(one, ()), *self.welcome.get(one, ())] for one in both}


def recipe(path: Path) -> Lesson:
    """The `RECIPE` of a recipe's file, which is imported but not launched. Raises `MedslmError` if there is none."""
    spec = importlib.util.spec_from_file_location(f"medslm_recipe_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise MedslmError(f"{path} is not a recipe: name a file such as recipes/smollm2_icd10_lora.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses of the file look themselves up here
    try:
        spec.loader.exec_module(module)
    except MedslmError:
        raise
    except (Exception, SystemExit) as error:  # a recipe is a program of the user's
        raise MedslmError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    found = getattr(module, "RECIPE", None)
    if not isinstance(found, Lesson):
        raise MedslmError(f"{path} defines no RECIPE; a recipe's file says RECIPE = recipe.Sft(...)")
    return found


def everything() -> Needs:
    """All that is registered."""
    needs = Needs(bases={base.hub_id: base for base in bases.values()})
    for name, corpus in corpora.items():
        _add(needs, needs.welcome, corpus.source, name)
    for name, benchmark in benchmarks.items():
        _add(needs, needs.welcome, benchmark.source, name)
    return needs


def of(recipes: Iterable[Lesson]) -> Needs:
    """What these recipes read. Raises `MedslmError` for a name that is not registered."""
    needs = Needs()
    for one in recipes:
        if isinstance(one, Pretrain) and one.start:  # its tokenizer lies beside those weights
            needs.runs.setdefault(one.start, []).append(one.name)
        elif base := getattr(one, "base", None):
            wanted = needs.tokenizers if isinstance(one, Pretrain) else needs.bases
            wanted[resolve(base).hub_id] = resolve(base)
        for name in one.mixture:
            _add(needs, needs.required, own.resolve(name, one.columns, one.licenses).source, name)
        if suite := getattr(one, "suite", None):
            for task in suites[suite].tasks:
                _add(needs, needs.required, benchmarks[task.benchmark].source, task.benchmark)
    for name, benchmark in benchmarks.items():  # each of them screens the training data
        _add(needs, needs.welcome, benchmark.source, name)
    return needs


def _add(needs: Needs, group: dict[Dataset, list[str]], source: Any, name: str) -> None:
    found = list(hub_datasets(source))
    for dataset in found:
        if name not in group.setdefault(dataset, []):
            group[dataset].append(name)
    if not found and name not in needs.elsewhere.setdefault(source.name, []):
        needs.elsewhere[source.name].append(name)


def hub_datasets(source: Any) -> Iterator[Dataset]:
    """The datasets of the Hub that a source reads, also inside of sources that join or change others."""
    if isinstance(source, Dataset):
        yield source
    elif isinstance(source, (tuple, list)):
        for part in source:
            yield from hub_datasets(part)
    elif dataclasses.is_dataclass(source) and not isinstance(source, type):
        for member in dataclasses.fields(source):
            yield from hub_datasets(getattr(source, member.name))
