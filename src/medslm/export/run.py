"""`medslm export NAME`: write what a run learnt in a format, read it back, compare it, and keep it if it agrees."""

from __future__ import annotations

import gc
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medslm import environment, files
from medslm.errors import MedslmError
from medslm.export import card, drift, llama_cpp, merge, modelfile, place, subject
from medslm.export.drift import Bound, Drift
from medslm.export.formats import Format, Options, chosen
from medslm.export.subject import Item, Subject
from medslm.export.torch_reader import TorchReader
from medslm.models import source

DEFAULT = Options()
RECORD, CARD = "export.json", "README.md"
SCHEMA = 1
PACKAGES = (
    "medslm",
    "torch",
    "transformers",
    "peft",
    "safetensors",
    "gguf",
    "onnxruntime",
    "compressed-tensors",
    "xllamacpp",
)
WIDER = "It was removed; choose a wider type, or allow as much with --max-drift and --max-fall"
SEARCHED = 1 << 26  # bytes of a file in which paths of this machine are looked for; weights behind them have none


@dataclass(frozen=True)
class Exported:
    """What was written."""

    folder: Path
    record: dict[str, Any]
    """`export.json`"""


def export(
    run: Path,
    to: str,
    out: Path,
    options: Options = DEFAULT,
    *,
    items: int = 16,
    max_drift: float | None = None,
    max_fall: float | None = None,
) -> Exported:
    """Write what `run` learnt as `to` into the new folder `out`, which appears whole and compared, or not at all.

    `items` of each task of the run's suite are read by both; `max_drift` (nats) and `max_fall` (share) replace the
    format's own bounds. Nothing is published. Raises `MedslmError` for a run that cannot be exported, a program that
    is missing or fails, and an export that is not what was learnt any more.
    """
    started = time.monotonic()
    folder = place.meant(out)
    format, options = chosen(to, options)
    bound = format.bound(options.type)
    bound = Bound(bound.drift if max_drift is None else max_drift, bound.fall if max_fall is None else max_fall)
    who = subject.find(run)
    own = card.own(who)
    asked, missing, too_long = subject.items(who, items)
    with place.making(folder) as temporary:
        merged = temporary / "merged"
        before, exact = _merged(who, asked, merged)
        made = format.write(who, merged, temporary, options)
        files.remove(merged)
        found, loader = _compared(format, made, asked, before)
        drift.refuse(found, bound, f"{who.name} as {to}", WIDER, who.word)
        served = llama_cpp.check(made, asked, before, bound, modelfile.begin(who)) if to == "gguf" else None
        notes = _notes(who, too_long)
        record: dict[str, Any] = {
            "schema": SCHEMA,
            "name": who.name,
            "to": to,
            "type": options.type,
            "base": {name: who.record["base"][name] for name in ("hub_id", "license", "source", "revision")},
            "adapter_sha256": files.sha256(who.weights),
            "loader": loader,
            "bound": {"drift": bound.drift, "fall": bound.fall},
            "drift": found.as_dict(),
            "served": served and served.as_dict(),
            "merge": exact
            and {"bound": merge.EXACT.drift} | {name: one for name, one in exact.as_dict().items() if name != "scores"},
            "items": {"each": items, "missing": missing, "too_long": too_long},
            "notes": notes,
            "packages": environment.versions(PACKAGES),
        }
        use = format.use.format(name=who.name)
        files.write_text(temporary / CARD, card.text(who, own, to, format.library, use, found, notes))
        place.share(temporary, temporary / CARD)
        _refuse_paths(temporary, [run, source.find(who.base).folder, temporary, Path.home(), Path.cwd()])
        record["files"] = {path: files.sha256(temporary / path) for path in _names(temporary)}
        record["seconds"] = round(time.monotonic() - started, 1)
        files.write_json(temporary / RECORD, record)
    return Exported(out, record)


def _merged(who: Subject, asked: list[Item], folder: Path) -> tuple[list[drift.Array], Drift | None]:
    """Write the merged model; return what was read before, and what the merge in float32 changed, if there was one."""
    model = merge.learnt(who)
    before = list(drift.readings(TorchReader(model), asked, who.word))
    merged, exact = (model, None) if who.whole else merge.merge(model, asked, before)
    merge.save(who, merged, folder)
    return before, exact


def _compared(format: Format, made: Path, asked: list[Item], before: list[drift.Array]) -> tuple[Drift, str]:
    gc.collect()  # the merged model: or two would be in memory
    reader = format.read(made)
    return drift.between(asked, before, reader), reader.loader


def _notes(who: Subject, too_long: int) -> list[str]:
    """What a user should know of where the weights come from, and of what was not compared."""
    base, quantization = who.record["base"], who.record["recipe"]["quantization"]
    notes = []
    if too_long:
        notes.append(f"{too_long} items of the sample are {subject.LONGER} of {who.base.hub_id} and were not compared")
    if base["source"] == "embedded":
        notes.append(
            "the base's weights are those that the run was trained on, a copy in a package that was stored in 4 bits and "
            "made wide again, and not the Hub's"
        )
    if quantization != "none":
        notes.append(
            f"the adapter was trained on weights in {quantization} and merged into the full ones: compare with the run's "
            "'full-precision' scores"
        )
    return notes


def _names(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name != place.LOCK
    )


def _refuse_paths(folder: Path, own: list[Path]) -> None:
    """Raise `MedslmError` if a file tells of this machine's folders: converters write the names of what they read."""
    told = {os.fsencode(str(path)) for one in own for path in (one.absolute(), one.resolve()) if len(path.parts) > 2}
    for name in _names(folder):
        with (folder / name).open("rb") as stream:
            start = stream.read(SEARCHED)
        if found := next((path for path in told if path in start), None):
            raise MedslmError(
                f"{name} of the export holds {os.fsdecode(found)}, a path of this machine, so it was removed; move base "
                "and run to a folder whose name may be told, or report the converter"
            )
