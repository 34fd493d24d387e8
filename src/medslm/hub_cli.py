"""The verbs of `medslm` that meet the Hub: card, push, pull, lock, bundle."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro

from medslm.errors import MedslmError
from medslm.places import Cards, Name, Runs, elsewhere, folder_of

Recipes = Annotated[tuple[Path, ...], tyro.conf.Positional]


def card(name: Name, *, runs: Path = Runs, cards: Path = Cards) -> None:
    """Fill the model card from what was measured; a number that was not measured means no card.

    An adapter and a tuned model are measured by scores.json, a pretrained model by its validation loss in run.json.

    Args:
        name: The run; its prose is in <cards>/<name>.md.
        runs: Folder of the runs.
        cards: Folder of the cards' prose.
    """
    from medslm.hub import card as cards_room
    from medslm.hub import learnt

    template = cards / f"{name}.md"
    if not template.is_file():
        raise MedslmError(f"{template} is not there; write the card's prose in it, as in the other files of {cards}")
    run = folder_of(name, runs)
    written = cards_room.write(run, template)
    if start := learnt.nameless_start(run):
        print(
            f"note: the card names no base_model, since the weights of '{start}' with which this run began were not "
            f"pushed from {runs}; push that run first and write the card again",
            file=sys.stderr,
        )
    then = f"make push NAME={name} TO=<user or organisation>{elsewhere(runs, 'RUNS=')}"
    try:
        cards_room.clear(run)
    except MedslmError as why:
        print(f"note: {why}", file=sys.stderr)
        then = f'medslm generate {name} "..."{elsewhere(runs)}'
    print(f"Card in {written}. Next: {then}")


def push(name: Name, *, to: str, public: bool = False, runs: Path = Runs) -> None:
    """Publish the adapter or whole model of a run with its card, as a private repository unless told otherwise.

    Args:
        name: The run; the repository gets its name.
        to: User or organisation on the Hub.
        public: Let everybody see it.
        runs: Folder of the runs.
    """
    from medslm.hub import card as cards_room
    from medslm.hub import push as push_room

    cards_room.clear(folder_of(name, runs))
    pushed = push_room.push(folder_of(name, runs), f"{to}/{name}", private=not public)
    what = f"{len(pushed.files)} files" if pushed.changed else "nothing: the repository holds exactly this already"
    print(f"Pushed {what}, {'public' if public else 'private'}: {pushed.url} at {pushed.commit}")
    if pushed.left_out:
        print(f"Left out, as not meant for publication: {', '.join(pushed.left_out)}")
    print(f'Next: medslm generate {pushed.repo_id} "..."')


def pull(repo_id: Name, *, revision: str | None = None) -> None:
    """Fetch an adapter or a whole model from the Hub and check every file of it.

    Args:
        repo_id: `user/name` on the Hub.
        revision: Branch, tag or commit.
    """
    from medslm.hub import pull as pull_room

    pulled = pull_room.pull(repo_id, revision=revision)
    what = "a whole model" if pulled.whole else "an adapter"
    print(f"{repo_id} is {what}: {pulled.files} files at {pulled.commit}, each checked, in {pulled.path}")
    print(f'Next: medslm generate {repo_id} "..."')


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


def bundle(recipes: Recipes = (), *, out: Path, published: tuple[str, ...] = ()) -> None:
    """Collect all that recipes read of the Hub, and published runs, in one folder, for a machine without a network.

    Args:
        recipes: Recipe files, such as recipes/smollm2_icd10_lora.py.
        out: Folder to be made.
        published: Runs to be used there, `user/name` on the Hub: whole models, and adapters with their bases.
    """
    from medslm.hub import airgap

    made = airgap.bundle(recipes, out, published)
    for name, reason in made.left_out.items():
        print(f"not in the bundle: {name}: {reason}", file=sys.stderr)
    what = f"{len(made.models)} models and {len(made.datasets)} datasets"
    print(f"{what}: {made.files} files, {made.bytes / 1e6:,.0f} MB, each checked, in {made.folder}")
    then = f"accelerate launch {recipes[0]}" if recipes else f'medslm generate {published[0]} "..."'
    print(f"Next: carry it over, then MEDSLM_BUNDLE={made.folder} {then}")
