"""The command `medslm judge`: another model judges what a run's base and adapter wrote, without asking them again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import tyro

from medslm.places import folder_of


def judge(
    name: Annotated[str, tyro.conf.Positional],
    *,
    suite: str | None = None,
    engine: str = "transformers",
    limited: bool = False,
    rubric: str | None = None,
    limit: int | None = None,
    price: str | None = None,
    allow_remote: bool = False,
    allow_http: bool = False,
    data: tuple[str, ...] = (),
    runs: Path = Path("runs"),
) -> None:
    """Judge a run's kept answers with another model, behind any OpenAI-compatible endpoint, and add that to its scores.

    MEDSLM_JUDGE_URL, MEDSLM_JUDGE_MODEL and MEDSLM_JUDGE_KEY say which, MEDSLM_JUDGE2_... a second one. Answers are kept:
    the same command asks for the rest.

    Args:
        name: The run.
        suite: Whose answers are judged; by default those of the recipe's suite.
        engine: Whose answers are judged.
        limited: The answers of a trial with --limit.
        rubric: A shipped rubric (clinical-answer, summary-faithfulness) or a YAML file; by default each task's own.
        limit: Items a task that are judged.
        price: Of a million tokens in and out, as in 0.15/0.60, for the estimate and the cost.
        allow_remote: Send text that is not public to another machine.
        allow_http: Send text to another machine without encryption.
        data: Benchmarks that the evaluation read from files, NAME=PATH each.
        runs: Folder of the runs.
    """
    from medslm.data import given
    from medslm.evals.judge import again, endpoint

    folder = folder_of(name, runs)
    given.use(data)
    settings = endpoint.from_environment()
    if settings is not None:
        settings = replace(
            settings,
            rubric=rubric or settings.rubric,
            limit=settings.limit if limit is None else limit,
            price=settings.price if price is None else endpoint.price(price),
            allow_remote=allow_remote or settings.allow_remote,
            allow_http=allow_http or settings.allow_http,
        )
    path, told = again.judge_run(folder, settings, suite, limited, engine)
    print("\n\n".join(f"{protocol}\n{text}" for protocol, text in told.items()))
    print(f"In {path}, under studies. Next: medslm report {name}")
