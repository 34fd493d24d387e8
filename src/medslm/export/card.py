"""The model card of an export: the run's own, under the metadata of what it has become, with the measured drift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from medslm.errors import MedslmError
from medslm.export.drift import Drift
from medslm.export.subject import Subject

if TYPE_CHECKING:
    from huggingface_hub import ModelCard

RELATIONS = {"safetensors": "finetune"}
"""`merge` is the Hub's word for several models in one, and `adapter` for what is loaded beside its base:
https://huggingface.co/docs/hub/model-cards#specifying-a-base-model. All other exports are quantisations to it."""


def own(subject: Subject) -> ModelCard | None:
    """The run's own card, if it has one. Raises `MedslmError` for one that cannot be read, or is of another run."""
    from huggingface_hub import ModelCard
    from yaml import YAMLError

    path, again = subject.folder / "README.md", f"`make card NAME={subject.name}`, or remove it"
    if not path.is_file():
        return None
    try:
        found: ModelCard = ModelCard.load(path)
    except (YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise MedslmError(f"{path}, the run's card, cannot be read ({reason}); write it again: {again}") from error
    if (named := found.data.get("base_model")) not in (subject.base.hub_id, [subject.base.hub_id]):
        told = f"names {named}" if named else "names no base_model"
        raise MedslmError(f"{path} is not the card of this run: it {told}, and not {subject.base.hub_id}; {again}")
    return found


def text(
    subject: Subject, own: ModelCard | None, to: str, library: str, use: str, drift: Drift, notes: list[str]
) -> str:
    """The whole card; without one of the run's `own` it says only what the export knows."""
    from huggingface_hub import ModelCardData

    told: dict[str, Any] = dict(own.data.to_dict()) if own else _metadata(subject)  # type: ignore[no-untyped-call]
    told |= {"library_name": library, "base_model_relation": RELATIONS.get(to, "quantized")}
    told["tags"] = [tag for tag in told.get("tags") or [] if tag != "lora" and not tag.startswith("base_model:")]
    head = ModelCardData(**told).to_yaml(line_break="\n")
    rest = own.text.strip() if own else "The run has no model card of its own: its scores were not written into one."
    return f"---\n{head}\n---\n\n{_said(subject, to, use, drift, notes)}\n\n{rest}\n"


def _metadata(subject: Subject) -> dict[str, Any]:
    """What `medslm card` writes of base and licence, without anything measured."""
    terms: Mapping[str, Any] = subject.record["gates"]["license"]
    told = {
        "language": "en",
        "license": terms["id"],
        "license_name": terms["name"],
        "license_link": terms["link"],
        "pipeline_tag": "text-generation",
        "base_model": subject.base.hub_id,
        "tags": ["medslm"],
    }
    return {name: value for name, value in told.items() if value is not None}


def _said(subject: Subject, to: str, use: str, drift: Drift, notes: list[str]) -> str:
    scores = "; ".join(
        f"{task}: {subject.word} {_percent(of['adapter'])}, export {_percent(of['export'])}, {of['items']:.0f} items"
        for task, of in drift.scores.items()
    )
    lines = [
        f"# {subject.name} as {to}",
        "",
        _made(subject),
        "",
        f"```\n{use.strip()}\n```",
        "",
        f"Compared with the {subject.word} on {drift.prompts} prompts of its exam: its predictions diverge by "
        f"{drift.divergence:.2g} nats a token, the log-probability of a likely token moved by at most {drift.likely:.2g}; "
        f"the same first choice at {_percent(drift.top1)} of {drift.positions} places. On that sample: {scores}. Every "
        "number is in `export.json`.",
    ]
    return "\n".join([*lines, *(f"\nNote: {note}." for note in notes)])


def _made(subject: Subject) -> str:
    """What of: an adapter and its base, or a model all of whose weights have learnt."""
    base = f"[{subject.base.hub_id}](https://huggingface.co/{subject.base.hub_id})"
    if subject.whole:
        return f"The model `{subject.name}`, {base} with all of its weights trained. " + (
            "All scores further below were measured on the run's own files, not on these."
        )
    return f"The adapter `{subject.name}` merged into {base}. " + (
        "All scores further below were measured on base and adapter side by side, not on these files."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
