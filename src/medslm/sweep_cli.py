"""The command `medslm sweep`: several recipes, or one with several values of its fields, trained, judged and compared."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import tyro

Sets = Annotated[
    tuple[tuple[str, ...], ...], tyro.conf.arg(name="set", metavar="FIELD=VALUE,VALUE"), tyro.conf.UseAppendAction
]


def sweep(
    name: Annotated[str, tyro.conf.Positional],
    *,
    recipe: tuple[Path, ...],
    sets: Sets = (),
    variant: tuple[str, ...] = (),
    suite: str | None = None,
    limit: int | None = None,
    config_file: Path | None = None,
    data: tuple[str, ...] = (),
    dry_run: bool = False,
    runs: Path = Path("runs"),
) -> None:
    """Train and judge every combination of recipes and values, each in a process of its own, and compare them.

    Started again, it goes on: what is finished is skipped, what was interrupted resumes, what failed is tried again.
    Exit status 1 means that a run failed; the others are told all the same.

    Args:
        name: The sweep; its runs are in a folder of that name.
        recipe: Recipe files, such as recipes/smollm2_icd10_lora.py.
        sets: A field and its values, written as on the recipe's own command line: learning_rate=1e-4,2e-4, or
            mixture="medqa=1","medqa=1 medmcqa=1". With several fields every combination is a run.
        variant: Fields that change together, once for each variant: "trainer=peft lora=all-linear-r16" "trainer=full
            lora=none". Each is combined with all that --set says.
        suite: What judges (`medslm list suites`); by default what each recipe names.
        limit: Items a task, to see whether it works.
        config_file: How `accelerate launch` starts a run, such as recipes/launch/single.yaml.
        data: Benchmarks in files, NAME=PATH each, where there is no Hub.
        dry_run: Only show the runs and their command lines.
        runs: Folder of the runs.
    """
    from medslm.data import given
    from medslm.errors import MedslmError
    from medslm.recipe import NAME
    from medslm.sweep import Sweep, combine, run, tell
    from medslm.sweep.running import LAUNCHER

    if not NAME.fullmatch(name):
        raise MedslmError(f"a sweep cannot be called '{name}'; use lower case words joined by hyphens")
    _refuse(suite, limit, config_file)
    given.use(data)
    launcher = (*LAUNCHER, *(() if config_file is None else ("--config_file", str(config_file))))
    combined = combine(recipe, [one for several in sets for one in several], variant)
    asked = Sweep(runs / name, combined, suite, limit, launcher)
    if dry_run:
        for cell in asked.cells:
            words = [*launcher[len(LAUNCHER) :], str(cell.recipe), *cell.options, "--runs", str(asked.folder)]
            print(f"{cell.name}\n  accelerate launch {shlex.join(words)}")
        return
    outcomes = run(asked)
    print(tell(asked, outcomes))
    print(f"In {asked.folder}. Next: medslm report {outcomes[0].cell.name} --runs {asked.folder}")
    if any(outcome.status != "finished" for outcome in outcomes):
        raise SystemExit(1)


def _refuse(suite: str | None, limit: int | None, config_file: Path | None) -> None:
    """Raise `MedslmError` for what every run would fail of, after it was trained."""
    from medslm.data.suites import suites
    from medslm.errors import MedslmError

    if suite is not None:
        suites[suite]
    if limit is not None and limit < 1:
        raise MedslmError(
            f"--limit {limit}: runs are judged on that many items a task; give at least 1, or leave it out"
        )
    if config_file is not None and not config_file.is_file():
        raise MedslmError(f"--config-file {config_file} is not there; name one such as recipes/launch/single.yaml")
