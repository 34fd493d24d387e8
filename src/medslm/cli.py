"""The command `medslm`: one thin function a verb; each prints what it did and what comes next."""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import tyro

from medslm import data_cli, doctor_cli, environment, export_cli, hub_cli, judge_cli, serve_cli, sweep_cli
from medslm.errors import MedslmError, as_exit_code
from medslm.places import Name, Runs, elsewhere, folder_of

app = tyro.extras.SubcommandApp()


@app.command(name="list")
def list_records(kind: Annotated[str, tyro.conf.Positional] = "") -> None:
    """Show the presets, all of them or one kind.

    Args:
        kind: bases, loras, corpora, benchmarks, formats, engines or suites; by default all.
    """
    from medslm import catalogue

    for title, names in catalogue.lines(kind):
        print(title, *(f"  {line}" for line in names), sep="\n")


@app.command(name="eval")
def evaluate(
    name: Name,
    *,
    suite: str | None = None,
    limit: int | None = None,
    batch_size: int | None = None,
    data: tuple[str, ...] = (),
    available: bool = False,
    format: str | None = None,
    engine: str = "transformers",
    runs: Path = Runs,
) -> None:
    """Judge a run's adapter beside its base with lm-eval, on the same prompts, and write its scores.

    Args:
        name: The run; or a base by itself (`medslm list bases`), which needs --suite.
        suite: What judges (`medslm list suites`); by default what the recipe names.
        limit: Items a task, to see whether it works; such scores are marked and never reach a card.
        batch_size: Prompts a forward pass; requests under way at a server.
        data: Benchmarks in files, NAME=PATH each, where there is no Hub; MEDSLM_DATA says so to every command.
        available: Leave out the benchmarks and studies that lack their data; the scores name them.
        format: How a base by itself is asked (`medslm list formats`); by default `chat`. A run knows its own.
        engine: What answers (`medslm list engines`); scores of another than `transformers` lie apart, in
            RUN/engines/ENGINE, and reach no card.
        runs: Folder of the runs.
    """
    from medslm.data import given
    from medslm.evals import run, scores, table

    given.use(data)
    how: dict[str, Any] = {"limit": limit, "batch_size": batch_size, "available": available, "engine": engine}
    alone = _alone(name, suite, format, runs)
    if alone:
        path = run.evaluate_base(name, runs / name, alone, format=format or "chat", **how)
    else:
        path = run.evaluate_run(folder_of(name, runs), suite, **how)
    found = scores.read(path, f"make eval NAME={name}")
    print(table.text(found))
    print(f"Scores in {path}. Next: {_after(name, found, alone is not None, runs)}")


def _alone(name: str, suite: str | None, format: str | None, runs: Path) -> str | None:
    """The suite by which a base is to be judged by itself; none if `name` is a run. Raises `MedslmError` for neither."""
    from medslm.models.base import bases

    if (runs / name / "run.json").is_file() or name not in bases:
        if format is not None and (runs / name).is_dir():
            raise MedslmError(
                f"--format {format} was asked for, but run '{name}' is judged as it was trained; leave it out"
            )
        return None
    if suite is None:
        raise MedslmError(
            f"'{name}' is a base, which no recipe gave a suite; name one with --suite (`medslm list suites`)"
        )
    return suite


def _after(name: str, found: Mapping[str, Any], alone: bool, runs: Path) -> str:
    """What to do with scores."""
    from medslm.evals.respondent import HERE

    if found["limit"] is not None:
        return "the same without --limit"
    how = f"--suite {found['suite']}{elsewhere(runs)}"
    if found["engine"] != HERE:
        return f"medslm compare {name} {name}@{found['engine']} {how}"
    return f"medslm compare {name} <run> {how}" if alone else f"make card NAME={name}{elsewhere(runs, 'RUNS=')}"


@app.command
def generate(
    adapter: Name,
    text: Annotated[str, tyro.conf.Positional],
    *,
    instruction: str | None = None,
    max_new_tokens: int = 128,
    engine: str = "transformers",
    stream: bool = False,
    temperature: float | None = None,
    top_k: int | None = None,
    seed: int | None = None,
    runs: Path = Runs,
) -> None:
    """Answer one text with a base and an adapter, or with a whole model; or write on with one trained from scratch.

    Args:
        adapter: A run, a folder, or `user/name` on the Hub.
        text: What to answer, or how the text begins.
        instruction: What to do with it; by default what the model was trained to do.
        max_new_tokens: Longest reply.
        engine: What runs the adapter (`medslm list engines`).
        stream: Print the adapter's reply as it is written.
        temperature: Of a whole model, 0.8 by default; an adapter answers with the likeliest tokens.
        top_k: Of a whole model: tokens among which is drawn, 50 by default.
        seed: Of a whole model.
        runs: Folder of the runs.
    """
    from medslm.infer import local, whole

    asked = {"temperature": temperature, "top_k": top_k, "seed": seed}
    drawn: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    folder = _learnt(adapter, runs)
    if whole.is_whole(folder):
        if stream or engine != "transformers":
            raise MedslmError(f"'{adapter}' is a model of its own, not an adapter; leave out --engine and --stream")
        print(whole.write(folder, text, instruction, whole.Drawn(max_new_tokens, **drawn)))
        return
    if drawn:
        raise MedslmError(
            f"an adapter answers with the likeliest tokens, so that {', '.join(drawn)} would change nothing; leave it out"
        )
    how = local.asked(folder, instruction)
    for note in how.notes:
        print(f"note: {note}", file=sys.stderr)
    if not stream:
        print(local.answer(folder, how, text, max_new_tokens, engine))
        return
    for part in local.stream(folder, how, text, max_new_tokens, engine):
        print(part, end="", flush=True)
    print()


def _learnt(named: str, runs: Path) -> Path:
    """The folder of an adapter, or of a run or a pulled repository with a whole model."""
    from medslm.infer import whole

    if (runs / named / "adapter").is_dir():
        return runs / named / "adapter"
    if whole.is_whole(runs / named):
        return runs / named
    if (Path(named) / "adapter_config.json").is_file() or whole.is_whole(Path(named)):
        return Path(named)
    if named.count("/") == 1 and not named.startswith((".", "/")):
        from medslm.hub import pull as pull_room

        return pull_room.pull(named).path
    raise MedslmError(
        f"no adapter and no model is called '{named}': neither a run in {runs}, nor a folder, nor user/name on the Hub"
    )


@app.command
def report(name: Name, *, suite: str | None = None, engine: str = "transformers", runs: Path = Runs) -> None:
    """Show a run's scores once more, with the sample cases that base and adapter answered, and what can be done with it.

    Args:
        name: The run.
        suite: What judged it; by default what the recipe names.
        engine: Whose answers were judged.
        runs: Folder of the runs.
    """
    from medslm.evals import scores, table

    run = folder_of(name, runs)
    found = scores.find(run, suite, trials=False, engine=engine)
    print(table.text(found))
    if not (run / "adapter").is_dir():
        return
    card, curve, of = run / "README.md", f"the loss curve is {run / 'loss.png'}", elsewhere(runs, "RUNS=")
    print("Next:")
    print(f"  {_command()} generate {name} {shlex.quote(_question(found))}{elsewhere(runs)}   # ask it")
    if card.is_file():
        print(f"  less {shlex.quote(str(card))}   # its model card; {curve}")
        print(f"  make push NAME={name} TO=<user or organisation>{of}   # publish it, privately")
    else:
        print(f"  make card NAME={name}{of}   # write its model card, without which nothing is published; {curve}")


def _question(found: Mapping[str, Any]) -> str:
    """Something to ask a run: the first sample case that it answered, else a text of the kind that it was judged on."""
    cases = [case["input"] for of in found["studies"].get("cases", {}).values() for case in of["cases"]]
    if texts := [text for text in cases if isinstance(text, str)]:
        return texts[0]
    codes = any(result["task"].startswith("icd10cm") for result in found["results"])
    return "Typhoid fever with heart involvement" if codes else "<a text of yours>"


@app.command
def compare(
    names: tyro.conf.Positional[tuple[str, ...]],
    *,
    suite: str | None = None,
    runs: Path = Runs,
    plot: Path | None = None,
) -> None:
    """Compare judged runs item by item: one with its base, several with the first of them.

    Args:
        names: The runs; a base that was judged by itself may be among them. RUN@ENGINE is what an engine
            answered for it, by default `transformers`.
        suite: What judged them; by default what each recipe names.
        runs: Folder of the runs.
        plot: Draw the differences and their intervals into this PNG as well.
    """
    from medslm.evals.compare import compare as beside

    asked = [name.partition("@") for name in names]
    print(beside([folder_of(name, runs) for name, _, _ in asked], plot, suite, [engine for _, _, engine in asked]))


def _command() -> str:
    """How this command was called, so that what is printed can be pasted: it may not be on the PATH."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return "python -m medslm"
    return shlex.quote(str(called)) if called.parent.name == "bin" else "medslm"


@app.command
def compress(name: Name, *, scheme: str, samples: int = 256, runs: Path = Runs) -> None:
    """Compress what a run learnt with LLM Compressor, calibrated on its own rows, and measure what that lost.

    Args:
        name: The run.
        scheme: w4a16, w8a8 or sparse24.
        samples: Training rows to calibrate on.
        runs: Folder of the runs.
    """
    from medslm.train import compress as room

    room.compress(folder_of(name, runs), scheme, samples)


for verb in (
    *(hub_cli.card, hub_cli.push, hub_cli.pull, hub_cli.lock, hub_cli.bundle),
    *(judge_cli.judge, doctor_cli.doctor, sweep_cli.sweep, export_cli.export, serve_cli.serve),
):
    app.command(verb)
app.command(data_cli.app, name="data", help="Look at corpora, measure them, build datasets of them, publish those.")


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Turn Ctrl-C into a line on stderr and the exit status that a shell gives it."""
    try:
        yield
    except KeyboardInterrupt:
        told = "interrupted; the same command uses what was kept until then, such as answers, and does the rest"
        print(f"\nmedslm: {told}", file=sys.stderr)
        raise SystemExit(128 + signal.SIGINT) from None


def main() -> None:
    """Entry point of `medslm`."""
    environment.prepare()
    environment.quiet()
    with _interruptible(), as_exit_code():
        app.cli(prog="medslm", description="Small language models for medicine: train, judge, describe, publish, ask.")
