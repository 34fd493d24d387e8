"""The command `medslm data`: look at a corpus, measure it, build a dataset of it, publish that."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from medslm import recipe
from medslm.errors import MedslmError

app = tyro.extras.SubcommandApp()
Names = Annotated[tuple[str, ...], tyro.conf.Positional]
Pairs = tuple[str, ...]
BASE = "smollm2-135m-instruct"


def _lesson(names: tuple[str, ...], columns: Pairs, licenses: Pairs, **fields: Any) -> recipe.Lesson:
    """One pass over each of the corpora."""
    _some(names)
    return recipe.Lesson(
        mixture=dict.fromkeys(names, 1.0), columns=_pairs(columns), licenses=_pairs(licenses), **fields
    )


def _some(names: tuple[str, ...]) -> None:
    if not names:
        raise MedslmError("no corpus was named; `medslm list corpora` shows those that are registered")


def _corpus(name: str, columns: Pairs) -> Any:
    import medslm.data.builders  # noqa: F401  (registers the corpora)
    from medslm.data.sources import own

    return own.resolve(name, _pairs(columns), {})


def _renderer(base: str) -> Any:
    from medslm.data.formats.render import Renderer

    return Renderer(_tokenizer(base), "text")  # the format that asks nothing of a tokenizer but an end


def _pairs(words: Pairs) -> dict[str, str]:
    from medslm.train.launch import pairs

    try:
        return pairs(words)
    except ValueError as error:
        raise MedslmError(str(error)) from None


def _again(name: str, columns: Pairs) -> str:
    """The corpus as a command that is told next names it: one's own data with its columns."""
    from medslm.data.corpus import corpora

    return shlex.join([name, *(["--columns", *columns] if columns and name not in corpora else [])])


def _tokenizer(base: str) -> Any:
    from medslm.models import load
    from medslm.models.base import resolve

    return load.tokenizer(resolve(base))


@app.command
def stats(
    names: Names,
    *,
    base: str = BASE,
    format: str = "chat",
    max_length: int = 1024,
    columns: Pairs = (),
    out: Path | None = None,
) -> None:
    """Put corpora through every gate and show what was found: copies of test items, identifiers, repetitions, lengths.

    Args:
        names: Corpora: registered ones, `local:PATH`, or `org/name` on the Hub.
        base: Base model whose tokenizer counts.
        format: How examples are written.
        max_length: Tokens above which an example would be dropped.
        columns: Columns of one's own data, as field=column.
        out: Folder for the histogram of lengths (PNG) and the whole report (JSON).
    """
    from medslm.data import rows, statistics

    lesson = _lesson(names, columns, (), format=format, max_length=max_length)
    built = rows.build(lesson, _tokenizer(base), None)
    print(statistics.text(built, max_length))
    if out:
        statistics.write(built, max_length, out)
        print(f"Histogram and report in {out}")
    print(f"Next: medslm data show {_again(names[0], columns)}")


@app.command
def show(
    name: Annotated[str, tyro.conf.Positional],
    *,
    number: int = 3,
    base: str = BASE,
    format: str = "chat",
    columns: Pairs = (),
    copies: bool = False,
) -> None:
    """Print examples as the model sees them; what carries loss is set off. This prints the data itself.

    Args:
        name: A corpus.
        number: How many examples, spread over the first thousand.
        base: Base model whose template is used.
        format: How examples are written.
        columns: Columns of one's own data, as field=column.
        copies: Instead, the examples that resemble test items, each beside its item.
    """
    from medslm.data import showing

    corpus = _corpus(name, columns)
    found = showing.copies(corpus, number) if copies else showing.examples(corpus, _tokenizer(base), format, number)
    for text in found:
        print(text)
    print(f"Next: medslm data stats {_again(name, columns)}")


@app.command
def build(
    names: Names,
    *,
    out: Path,
    columns: Pairs = (),
    licenses: Pairs = (),
    contamination: Literal["report", "drop", "fail"] = "drop",
    deidentify: Literal["off", "scan", "mask", "surrogate"] = "scan",
    phi_engine: Literal["rules", "presidio"] = "rules",
    duplicates: Literal["report", "exact", "near"] = "exact",
    option_order: Literal["given", "shuffled"] = "given",
    validation_fraction: float = 0.05,
    storage: Literal["parquet", "toon"] = "parquet",
) -> None:
    """Write corpora as one dataset, screened, split into train and validation, with the report of every gate.

    Args:
        names: Corpora: registered ones, `local:PATH`, or `org/name` on the Hub.
        out: Folder to be made; its name is the dataset's.
        columns: Columns of one's own data, as field=column.
        licenses: Licence of one's own data, as corpus=licence.
        contamination: What happens to copies of test items.
        deidentify: Count identifiers of patients, or replace them as well.
        phi_engine: What finds them.
        duplicates: Which repetitions are dropped.
        option_order: Of multiple-choice questions: as they are, or drawn.
        validation_fraction: Part held out, by whole families.
        storage: Parquet, which the Hub shows, or TOON.
    """
    from medslm.data import building

    gates = {"contamination": contamination, "deidentify": deidentify, "phi_engine": phi_engine}
    split = {"duplicates": duplicates, "option_order": option_order, "validation_fraction": validation_fraction}
    report = building.build(_lesson(names, columns, licenses, **gates, **split), out, storage)
    rows = report["rows"]
    print(f"{rows['train']:,} examples to train on and {rows['validation']:,} for validation in {out}; see build.json")
    learnt = shlex.quote(f"local:{out / 'train'}")
    if report["publishable"]:
        print(f"Next: medslm data push {shlex.quote(str(out))} --to <user or organisation>, or train on {learnt}")
    else:
        why = "; ".join(report["reasons"])
        print(f"It may not be published: {why}; --licenses CORPUS=LICENCE states the licence of one's own data")
        print(f"Next: train on {learnt}")


@app.command
def push(folder: Annotated[Path, tyro.conf.Positional], *, to: str, public: bool = False) -> None:
    """Publish a built dataset with its card, as a private repository unless told otherwise.

    Args:
        folder: What `medslm data build` made.
        to: User or organisation on the Hub; the repository is called like the folder.
        public: Let everybody see it.
    """
    from medslm.hub import publish_dataset

    name = folder.resolve().name
    pushed = publish_dataset.push(folder, f"{to}/{name}", private=not public)
    what = f"{len(pushed.files)} files" if pushed.changed else "nothing: the repository holds exactly this already"
    print(f"Pushed {what}, {'public' if public else 'private'}: {pushed.url} at {pushed.commit}")
    if any(path.endswith(".toon") for path in pushed.files):  # which the Hub's loaders, and ours of it, do not read
        fetched = f"hf download {to}/{name} --repo-type dataset --local-dir {name}"
        print(f"Next: {fetched}, and train on it with --mixture local:{name}/train=1")
    else:
        print(f"Next: train on it with --mixture {to}/{name}=1")


@app.command
def toon(*, out: Path = Path("prepared_datasets_toon")) -> None:
    """Write the five clinical sets (discharge, QA, PubMed, ICD, legal) as .toon files with checksums.

    Args:
        out: Folder to write to.
    """
    from medslm.data.toon import prepare

    print(prepare.table(prepare.five(out)))
    print(f"Next: train on one of them with --mixture {shlex.quote(f'local:{out}/')}<name>.toon=1")


@app.command
def economy(
    names: Names, *, base: tuple[str, ...] = (BASE,), number: int = 500, columns: Pairs = (), out: Path | None = None
) -> None:
    """Measure what TOON saves: tokens a record against compact JSON and against plain text, by corpus and tokenizer.

    Args:
        names: Corpora.
        base: Base models whose tokenizers count.
        number: Records a corpus, drawn at random.
        columns: Columns of one's own data, as field=column.
        out: Folder for the table (Markdown), the figures (JSON) and the plot (PNG).
    """
    from medslm import files
    from medslm.data.toon import economy as economies

    _some(names)
    cost = {which: _renderer(which).cost for which in base}
    rows = [
        row
        for name in names
        for which in base
        for row in economies.measure(
            _corpus(name, columns).load(), cost[which], corpus=name, tokenizer=which, sample=number
        )
    ]
    print(economies.table(rows))
    if out:
        files.write_text(out / "economy.md", economies.table(rows) + "\n")
        files.write_json(out / "economy.json", [asdict(row) for row in rows])
        economies.plot(rows, out / "economy.png")
        print(f"Table, figures and plot in {out}")
    print(f"Next: medslm data stats {_again(names[0], columns)} --format toon")
