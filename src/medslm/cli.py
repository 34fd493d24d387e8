"""The command `medslm`: one thin function a verb; each prints what it did and what comes next."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import tyro

from medslm import data_cli, environment, files
from medslm.errors import MedslmError, as_exit_code

app = tyro.extras.SubcommandApp()
Name = Annotated[str, tyro.conf.Positional]
Runs = Path("runs")
Cards = Path("model_cards")


def _run(name: str, runs: Path) -> Path:
    """The folder of a run. Raises `MedslmError` with the runs that there are."""
    if not (runs / name).is_dir():
        there = sorted(path.parent.name for path in runs.glob("*/run.json")) or ["none"]
        raise MedslmError(
            f"no run is called '{name}' in {runs}; there: {', '.join(there)}. `accelerate launch` makes one"
        )
    return runs / name


@app.command(name="list")
def list_records(kind: Annotated[str, tyro.conf.Positional] = "") -> None:
    """Show the presets: bases, loras, corpora, benchmarks, formats, suites; all of them, or one kind."""
    from medslm import catalogue

    for title, names in catalogue.lines(kind):
        print(title, *(f"  {line}" for line in names), sep="\n")


@app.command(name="eval")
def evaluate(
    name: Name,
    *,
    limit: int | None = None,
    batch_size: int | None = None,
    data: tuple[str, ...] = (),
    runs: Path = Runs,
) -> None:
    """Judge a run's adapter beside its base with lm-eval, on the same prompts, and write scores.json.

    Args:
        name: The run.
        limit: Items a task, to see whether it works; such scores are marked and never reach a card.
        batch_size: Prompts a forward pass.
        data: Benchmarks in files, NAME=PATH each, where there is no Hub; MEDSLM_DATA says so to every command.
        runs: Folder of the runs.
    """
    from medslm.data import given
    from medslm.evals import run, table

    given.use(data)
    scores = run.evaluate_run(_run(name, runs), limit=limit, batch_size=batch_size)
    print(table.text(files.read_json(scores, f"make eval NAME={name}")))
    print(f"Scores in {scores}. Next: " + (f"make card NAME={name}" if limit is None else "the same without --limit"))


@app.command
def card(name: Name, *, runs: Path = Runs, cards: Path = Cards) -> None:
    """Fill the model card from run.json and scores.json; a number that was not measured means no card.

    Args:
        name: The run; its prose is in <cards>/<name>.md.
        runs: Folder of the runs.
        cards: Folder of the cards' prose.
    """
    from medslm.hub import card as cards_room

    template = cards / f"{name}.md"
    if not template.is_file():
        raise MedslmError(f"{template} is not there; write the card's prose in it, as in the other files of {cards}")
    written = cards_room.write(_run(name, runs), template)
    print(f"Card in {written}. Next: make push NAME={name} TO=<user or organisation>")


@app.command
def push(name: Name, *, to: str, public: bool = False, runs: Path = Runs) -> None:
    """Publish a run's adapter with its card, as a private repository unless told otherwise.

    Args:
        name: The run; the repository gets its name.
        to: User or organisation on the Hub.
        public: Let everybody see it.
        runs: Folder of the runs.
    """
    from medslm.hub import card as cards_room
    from medslm.hub import push as push_room

    cards_room.clear(_run(name, runs))
    pushed = push_room.push(_run(name, runs), f"{to}/{name}", private=not public)
    what = f"{len(pushed.files)} files" if pushed.changed else "nothing: the repository holds exactly this already"
    print(f"Pushed {what}, {'public' if public else 'private'}: {pushed.url} at {pushed.commit}")
    if pushed.left_out:
        print(f"Left out, as not meant for publication: {', '.join(pushed.left_out)}")
    print(f'Next: medslm generate {pushed.repo_id} "..."')


@app.command
def pull(repo_id: Name, *, revision: str | None = None) -> None:
    """Fetch an adapter from the Hub and check every file of it.

    Args:
        repo_id: `user/name` on the Hub.
        revision: Branch, tag or commit.
    """
    from medslm.hub import pull as pull_room

    pulled = pull_room.pull(repo_id, revision=revision)
    print(f"{pulled.files} files of {repo_id} at {pulled.commit}, each checked, in {pulled.path}")
    print(f'Next: medslm generate {repo_id} "..."')


@app.command
def generate(
    adapter: Name,
    text: Annotated[str, tyro.conf.Positional],
    *,
    instruction: str | None = None,
    max_new_tokens: int = 128,
    runs: Path = Runs,
) -> None:
    """Answer one text with a base and an adapter.

    Args:
        adapter: A run, a folder, or `user/name` on the Hub.
        text: What to answer.
        instruction: What to do with it; by default what the adapter was trained to do.
        max_new_tokens: Longest reply.
        runs: Folder of the runs.
    """
    from medslm.infer import local

    folder = _adapter(adapter, runs)
    how = local.asked(folder, instruction)
    for note in how.notes:
        print(f"note: {note}", file=sys.stderr)
    print(local.answer(folder, how, text, max_new_tokens))


def _adapter(named: str, runs: Path) -> Path:
    if (runs / named / "adapter").is_dir():
        return runs / named / "adapter"
    if (Path(named) / "adapter_config.json").is_file():
        return Path(named)
    if named.count("/") == 1 and not named.startswith((".", "/")):
        from medslm.hub import pull as pull_room

        return pull_room.pull(named).path
    raise MedslmError(
        f"no adapter is called '{named}': neither a run in {runs}, nor a folder, nor user/name on the Hub"
    )


@app.command
def report(name: Name, *, runs: Path = Runs) -> None:
    """Show a run's scores once more, and what can be done with it.

    Args:
        name: The run.
        runs: Folder of the runs.
    """
    from medslm.evals import table

    run = _run(name, runs)
    print(table.text(files.read_json(run / "scores.json", f"make eval NAME={name}")))
    print("Next:")
    print(f'  {_command()} generate {name} "Typhoid fever with heart involvement"   # ask it')
    print(f"  less {run / 'README.md'}   # its model card; the loss curve is {run / 'loss.png'}")
    print(f"  make push NAME={name} TO=<user or organisation>   # publish it, privately")


@app.command
def compare(names: tyro.conf.Positional[tuple[str, ...]], *, runs: Path = Runs, plot: Path | None = None) -> None:
    """Compare judged runs item by item: one with its base, several with the first of them.

    Args:
        names: The runs.
        runs: Folder of the runs.
        plot: Draw the differences and their intervals into this PNG as well.
    """
    from medslm.evals.compare import compare as beside

    print(beside([_run(name, runs) for name in names], plot))


def _command() -> str:
    """How this command was called, so that what is printed can be pasted: it may not be on the PATH."""
    called = Path(sys.argv[0])
    return (
        "python -m medslm" if called.name == "__main__.py" else str(called) if called.parent.name == "bin" else "medslm"
    )


Recipes = Annotated[tuple[Path, ...], tyro.conf.Positional]


@app.command
def lock(recipes: Recipes = ()) -> None:
    """Pin what recipes read of the Hub, or all that is registered, to its newest commit, in hub.lock.toml.

    Args:
        recipes: Recipe files, such as recipes/smollm2_icd10_lora.py; none means everything.
    """
    from medslm.hub import locking

    locked = locking.write(recipes)
    for repo_id, reason in locked.left.items():
        print(f"{repo_id} left as it was: {reason}", file=sys.stderr)
    held = len(locked.lock.models) + len(locked.lock.datasets)
    print(f"{held} commits in {locked.path}, {len(locked.changed)} of them new. Next: git add {locked.path}")


@app.command
def bundle(recipes: Recipes, *, out: Path) -> None:
    """Collect all that recipes read of the Hub in one folder, for a machine without a network.

    Args:
        recipes: Recipe files, such as recipes/smollm2_icd10_lora.py.
        out: Folder to be made.
    """
    from medslm.hub import airgap

    made = airgap.bundle(recipes, out)
    for name, reason in made.left_out.items():
        print(f"not in the bundle: {name}: {reason}", file=sys.stderr)
    what = f"{len(made.models)} models and {len(made.datasets)} datasets"
    print(f"{what}: {made.files} files, {made.bytes / 1e6:,.0f} MB, each checked, in {made.folder}")
    print(f"Next: carry it over, then MEDSLM_BUNDLE={made.folder} accelerate launch {recipes[0]}")


app.command(data_cli.app, name="data", help="Look at corpora, measure them, build datasets of them, publish those.")


def main() -> None:
    """Entry point of `medslm`."""
    environment.prepare()
    environment.quiet()
    with as_exit_code():
        app.cli(prog="medslm", description="Small language models for medicine: " + os.linesep + (__doc__ or ""))
