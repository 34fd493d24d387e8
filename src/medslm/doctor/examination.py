"""The whole examination: machine, packages, network, what fits, and a recipe if there is one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medslm.data import rows
from medslm.data.formats.render import Renderer
from medslm.doctor import fits, launching, lesson, machine, network, packages, paths, pretraining
from medslm.doctor.finding import Finding, Report
from medslm.errors import MedslmError
from medslm.hub import gather
from medslm.models import load
from medslm.models.base import bases, resolve
from medslm.models.lora import loras
from medslm.recipe import Lesson, Pretrain, Run, Sft
from medslm.train.beginning import Beginning
from medslm.train.memory.need import GIB

TABLE = (
    "What fits: tokens a pass in GiB of predicted peak, or the GiB that torch's allocator needs at least\n"
    "({lora}, {rows} rows of {longest} tokens a step)"
)

UNPLANNED = Finding("memory", "not planned: the planner does not count a pretraining")


def examine(
    recipe: Path | None = None,
    *,
    online: bool = False,
    show_examples: bool = False,
    names: Sequence[str] | None = None,
    lora: str = fits.LORA,
    max_length: int = 1024,
    runs: Path = Path("runs"),
) -> Report:
    """Look at everything; without `online` nothing is asked of the network, if HF_HUB_OFFLINE was set before.

    `names` are the bases of the planner's table, by default all. Raises `MedslmError` for an unknown base or LoRA, and
    for a table of no rows; what is wrong with the machine or the recipe is a finding.
    """
    if max_length < 1:
        raise MedslmError(f"--max-length {max_length}: the table is of rows of that many tokens; give at least 1")
    if not loras[lora].r:
        raise MedslmError(
            f"--lora {lora}: the table is of adapters beside a frozen base; all weights are planned for a recipe, as in "
            "`medslm doctor recipes/qwen2_0_5b_alpaca_baseline.py`"
        )
    found = machine.look()
    asked = None if recipe is None else _read(recipe)
    hub_ids = [resolve(asked.base).hub_id] if isinstance(asked, Run) else []
    sections: dict[str, list[Finding]] = {
        "Machine": [*machine.findings(found), *machine.disks(machine.places(runs))],
        "Packages": list(packages.findings()),
        "Fast paths": list(paths.findings()),
        "Network": list(network.findings(online, hub_ids)),
    }
    fitting, unknown = fits.table(bases if names is None else names, loras[lora], max_length)
    title = TABLE.format(lora=lora, rows=fits.BATCH, longest=f"{max_length:,}")
    pages = {title: fits.lines(fitting)} if fitting else {}
    if unknown:
        sections["Network"].append(Finding("sizes", f"not known here, so not in the table: {', '.join(unknown)}"))
    facts: dict[str, Any] = {"machine": found.as_json(), "fits": [fit.as_json() for fit in fitting]}
    if isinstance(asked, Finding):
        sections["Recipe"] = [asked]
    elif asked is not None:
        findings, told, more = _recipe(asked, found, runs, show_examples)
        sections[f"Recipe {getattr(asked, 'name', recipe)}"] = findings
        facts["recipe"] = told
        pages |= more
    return Report(sections, facts, pages)


def _read(path: Path) -> Lesson | Finding:
    try:
        asked = gather.recipe(path)
        if isinstance(asked, Run):
            resolve(asked.base)
        return asked
    except MedslmError as error:
        return Finding("recipe", str(error), "failure")


def _recipe(
    asked: Lesson, found: machine.Machine, runs: Path, show_examples: bool
) -> tuple[list[Finding], dict[str, Any], dict[str, list[str]]]:
    """Findings on a recipe, the same as values, and pages."""
    if not isinstance(asked, Run):
        return (
            [Finding("recipe", "it has no base: a dataset is made of it, and `medslm data stats` looks at that")],
            {},
            {},
        )
    findings: list[Finding] = []
    first: Beginning | None = None
    readable: list[str] = []
    try:
        if isinstance(asked, Pretrain):
            first, findings = pretraining.begin(asked, runs)
            here = first is not None
        else:
            base = launching.weights(resolve(asked.base))
            here = base.level == "fine"
            findings.append(base)
        if isinstance(asked, Sft):
            loras[asked.lora]
            findings += launching.asks(asked)
            findings += launching.disk(asked, runs, machine.places(runs)["Hub's cache"], here)
        if asked.suite:
            readable, more = lesson.benchmarks(asked.suite)
            findings += more
        if not here:
            advice = "look again once it is there"
            return [*findings, Finding("rows", "not looked at: there is no tokenizer", advice=advice)], {}, {}
        if isinstance(asked, Pretrain) and first and asked.on_text:
            return _text(asked, first, readable, findings, runs, show_examples)
        return _rows(asked, first, found, readable, findings, show_examples)
    except MedslmError as error:
        return [*findings, Finding("recipe", str(error), "failure")], {}, {}


def _text(
    asked: Pretrain, first: Beginning, readable: list[str], findings: list[Finding], runs: Path, show_examples: bool
) -> tuple[list[Finding], dict[str, Any], dict[str, list[str]]]:
    """The same with running text, whose documents are cut into windows."""
    renderer = Renderer(first.tokenizer, asked.format)
    built = pretraining.text(asked, first, readable)
    findings += lesson.gates(built)
    findings.append(lesson.number(built))
    more, facts = pretraining.windows(asked, built, renderer, runs)
    findings += more
    pages: dict[str, list[str]] = {}
    if not _hidden(asked, findings, show_examples):
        title = f"The first {asked.max_length} tokens of the first document, all of which carry loss"
        pages[title] = pretraining.example(built, asked, renderer, first.tokenizer)
    findings.append(UNPLANNED)
    return findings, {**_facts(built), **facts}, pages


def _hidden(asked: Run, findings: list[Finding], show_examples: bool) -> bool:
    """Whether no example may be shown, and why is among the findings then."""
    reasons = [] if show_examples else lesson.private(asked)
    if reasons:
        findings.append(Finding("example", f"not shown: {'; '.join(reasons)}", advice="--show-examples shows it"))
    return bool(reasons)


def _facts(built: rows.Rows) -> dict[str, Any]:
    return {
        "train": len(built.train),
        "validation": len(built.validation),
        "corpora": built.corpora,
        "missing_benchmarks": list(built.gates["contamination"]["missing"]),
    }


def _rows(
    asked: Run,
    first: Beginning | None,
    found: machine.Machine,
    readable: list[str],
    findings: list[Finding],
    show_examples: bool,
) -> tuple[list[Finding], dict[str, Any], dict[str, list[str]]]:
    """The same with what is learnt: prepared as the run will prepare it, so that it finds the work done."""
    tokenizer = first.tokenizer if first else load.tokenizer(resolve(asked.base))
    stated = first.base["license"] if first else resolve(asked.base).license or "unknown"
    renderer = Renderer(tokenizer, asked.format)
    built = rows.build(asked, tokenizer, stated, readable)
    findings += lesson.findings(asked, built, renderer, tokenizer)
    facts = {**_facts(built), **lesson.measures(built, tokenizer.get_vocab()[renderer.end_of_turn])}
    pages: dict[str, list[str]] = {}
    if not _hidden(asked, findings, show_examples):
        pages["The first example as the model sees it, what carries loss between ⟦ and ⟧"] = lesson.example(
            built, tokenizer
        )
    if isinstance(asked, Sft):
        findings += launching.memory_plan(asked, built.train, built.validation, found)
        own = launching.presets(asked, built.train)
        facts["fits"] = [fit.as_json() for fit in own]
        fitting = [fit for fit in own if fit.tokens_per_pass]
        if own:
            smallest = f"gpu={fitting[0].gpu} is enough ({fitting[0].told} GiB)" if fitting else "gpu=80gb is too small"
            told = f"with its own rows {smallest}; at least {own[0].needs / GIB:.2f} GiB are needed"
            findings.append(Finding("GPU memory", told, "fine" if fitting else "warning"))
    elif isinstance(asked, Pretrain):
        findings += [*pretraining.steps(asked, len(built.train)), UNPLANNED]
    return findings, facts, pages
