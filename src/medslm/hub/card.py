"""A model card: prose by hand in `model_cards/<name>.md`, every number and licence filled in from what was measured."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import jinja2
import jinja2.nodes
import yaml
from huggingface_hub import ModelCard, ModelCardData, eval_result_entries_to_yaml

import medslm.data.builders  # noqa: F401 - registers the corpora
from medslm import figures, files, recipe
from medslm.data import license, screening
from medslm.data.corpus import corpora
from medslm.data.formats import formats
from medslm.errors import MedslmError
from medslm.hub import learnt, markdown, results, tables
from medslm.hub.results import Evidence, Record, at
from medslm.models.base import bases


def render(run: Path, template: Path) -> str:
    """The whole card of the finished and measured run in the folder `run`: metadata and prose.

    Raises `MedslmError` if anything that the card would say was not measured on exactly these weights.
    """
    evidence = results.load(run)
    name = at(evidence.run, "name", "run.json")
    if not recipe.NAME.fullmatch(name) or template.name != f"{name}.md":
        raise MedslmError(f"run '{name}' has the model card {template.name}; run and card carry one name: {name}.md")
    terms = _terms(evidence.run)
    prose, tags = _fill(template, _context(run, evidence, terms))
    data = _metadata(run, evidence, terms, tags)
    text = f"---\n{data.to_yaml(line_break=chr(10))}\n---\n\n{_tidy(prose)}\n"
    if str(ModelCard(text).data) != str(data):
        raise MedslmError(f"the metadata of {name} do not survive being written as YAML and read again; mend its names")
    return text


def _tidy(prose: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", markdown.aligned(prose)).strip()


def write(run: Path, template: Path) -> Path:
    """Write `README.md` and, for benchmarks on the Hub, `.eval_results/<name>.yaml` into `run`; return the card."""
    text = render(run, template)
    evaluated = run / ".eval_results" / f"{template.stem}.yaml"
    if entries := results.entries(results.load(run)):
        files.write_text(evaluated, yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False))
    else:
        files.remove(evaluated)
    files.write_text(run / "README.md", text)
    return run / "README.md"


def clear(run: Path) -> None:
    """Raise `MedslmError` if the run may not be published: stale or partial scores, or licences that forbid it."""
    terms = _terms(results.load(run).run)
    if not terms.publishable:
        raise MedslmError(
            f"{run} is not cleared for publication: {'; '.join(terms.reasons)}. Keep it, or train without"
        )


def _terms(run: Record) -> license.License:
    """The licence of what was learnt; what the run recorded must be what the registries say today."""
    base, recorded = at(run, "base", "run.json"), at(run, "corpora", "run.json")
    stated = {name: at(record, "license", f"corpus '{name}' in run.json") for name, record in recorded.items()}
    known = {name: corpora[name].license for name in stated if name in corpora}
    preset = bases.get(at(base, "name", "base in run.json"))
    pairs = [(f"corpus '{name}'", stated[name], known[name]) for name in known]
    pairs += [("the base model", at(base, "license", "base in run.json"), preset.license)] if preset else []
    for who, then, now in pairs:
        if then != now:
            raise MedslmError(
                f"run.json says that {who} is under '{then}', its record says '{now}'; find out which holds"
            )
    found = license.effective(base["license"], stated)
    if learnt.of(run).relation is None:  # of the base, nothing but the tokenizer went in
        reasons = tuple(reason.replace("he base model", "he tokenizer's model") for reason in found.reasons)
        return replace(found, reasons=reasons)
    return found


def _metadata(folder: Path, evidence: Evidence, terms: license.License, tags: list[str]) -> ModelCardData:
    run, kind = evidence.run, evidence.learnt
    at(run, "base.hub_id", "run.json")
    base = learnt.base_on_hub(folder, run)
    if base is not None and not results.is_hub_id(base):
        raise MedslmError(f"base model '{base}' is not an id on the Hub; train on a base that has one")
    relation = kind.relation if base else None
    sources = [at(corpus, "source", f"corpus '{name}' in run.json") for name, corpus in run["corpora"].items()]
    return ModelCardData(
        language="en",
        license=terms.id,
        license_name=terms.name,
        license_link=terms.link,
        library_name=kind.library,
        pipeline_tag="text-generation",
        base_model=base,
        base_model_relation=relation,
        datasets=sorted({source for source in sources if results.is_hub_id(source)}) or None,
        tags=[*tags, *([] if kind.whole else ["lora"]), "medslm", *([f"base_model:{relation}:{base}"] if base else [])],
        model_name=run["name"],
        eval_results=results.model_index(evidence),
    )


def count(value: int) -> str:
    """`5026` -> `5,026`."""
    return f"{value:,.0f}"


def interval(bounds: list[float]) -> str:
    """`[0.1, 0.2]` -> `10.0 to 20.0 %`."""
    low, high = map(figures.percent, bounds)
    return f"{low.removesuffix(' %')} to {high}"


def picks(histogram: Mapping[str, float]) -> str:
    """How often each answer was given: `{"A": 12, "B": 3}` -> `A 12, B 3`."""
    return ", ".join(f"{answer} {value:g}" for answer, value in sorted(histogram.items()))


@jinja2.pass_context
def _verdict(context: jinja2.runtime.Context, result: Record) -> str:
    return results.verdict(result, context["learnt"])


FILTERS = {
    "code": markdown.code,
    "literal": markdown.literal,
    "duration": markdown.duration,
    "count": count,
    "number": lambda value: f"{value:.4g}",
    "interval": interval,
    "joined": lambda names: names if isinstance(names, str) else ", ".join(names),
    "percent": figures.percent,
    "picks": picks,
    "points": figures.points,
    "points_interval": lambda bounds: " to ".join(map(figures.points, bounds)),
    "perplexity": learnt.perplexity,
    "verdict": _verdict,
}


def _context(run: Path, evidence: Evidence, terms: license.License) -> dict[str, Any]:
    """What a template can name."""
    written_as, kind = formats[at(evidence.run, "recipe.format", "run.json")], evidence.learnt
    return {
        "run": evidence.run,
        "scores": evidence.scores,
        "others": evidence.others,
        "left_out": evidence.left_out,
        "figures": partial(tables.figures, word=kind.word),
        "subjects": partial(tables.subjects, word=kind.word),
        "studies": tables.studies,
        "caveats": tables.caveats,
        "license": terms,
        "headlines": evidence.headlines,
        "confidence": results.CONFIDENCE,
        "screening": list(screening.lines(evidence.run["corpora"], at(evidence.run, "gates", "run.json"))),
        "learnt": kind.word,
        "adapter": kind.file,
        "base_on_hub": learnt.base_on_hub(run, evidence.run),
        "question": lambda instruction, text, *fields: written_as.question(instruction, text, (), fields),
        "answer": lambda **fields: markdown.Markdown(written_as.write(fields)),
        "has": lambda file: (run / file).is_file(),
    }


@cache  # of compiled templates; Jinja compiles one anew when its file changes
def _environment(folder: Path) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        finalize=markdown.shown,
        autoescape=False,  # Markdown, not HTML: `shown` escapes
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    return environment


def _fill(path: Path, context: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The prose with its placeholders filled in, and the `tags` that the template sets."""
    if not path.is_file():
        raise MedslmError(f"{path} is not there; write the card's prose, with {{{{ placeholders }}}} for every number")
    source = path.read_text(encoding="utf-8")
    try:
        template = _environment(path.parent).get_template(path.name)
        if typed := typed_numbers(source):
            raise MedslmError(f"{path} has numbers typed by hand: {', '.join(typed)}; put placeholders in their place")
        module = template.make_module(dict(context))
    except jinja2.TemplateSyntaxError as error:
        raise MedslmError(f"{path}, line {error.lineno}: {error.message}; mend the template") from error
    except (jinja2.UndefinedError, TypeError, ValueError, KeyError) as error:
        at_fault, line, asked = _asked_for(error, path)
        raise MedslmError(
            f"{at_fault}, line {line}, asks for {asked}, but: {error}. Measure it, or take the placeholder out"
        ) from error
    return str(module), list(getattr(module, "tags", []))


def _asked_for(error: Exception, path: Path) -> tuple[Path, int, str]:
    """File, line and placeholder at which filling in stopped: in the card's prose, or in a part that it includes."""
    trace, at_fault, line = error.__traceback__, path, 1
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.suffix == ".md" and file.is_relative_to(path.parent):
            part = _environment(path.parent).get_template(file.relative_to(path.parent).as_posix())
            at_fault, line = file, part.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    text = at_fault.read_text(encoding="utf-8").splitlines()[line - 1]
    placeholders = re.findall(r"\{\{.*?\}\}|\{%.*?%\}", text) or [text.strip()]
    missing = re.search(r"attribute '(\w+)'|'(\w+)' is undefined", str(error))
    word = (missing[1] or missing[2]) if missing else ""
    return (
        at_fault,
        line,
        " or ".join([placeholder for placeholder in placeholders if word in placeholder] or placeholders),
    )


JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
NOT_PROSE = re.compile(r"^```.*?^```|https?://\S+|arXiv:\d+\.\d+", re.DOTALL | re.MULTILINE)
IDENTIFIER = re.compile(r"(?<!\w)[A-Za-z]\w*(?:[-_.][A-Za-z0-9]+)*")  # ICD-10-CM, SmolLM2-135M, K35.20
NUMBER = re.compile(r"\d[\d.,]*\w*")


@cache
def typed_numbers(source: str) -> tuple[str, ...]:
    """Numbers that a template states by itself: in its prose, or as constants in its placeholders."""
    prose = NOT_PROSE.sub(" ", JINJA.sub(" ", source))
    constants = [node.value for node in jinja2.Environment().parse(source).find_all(jinja2.nodes.Const)]
    numbers = [str(value) for value in constants if isinstance(value, (int, float)) and not isinstance(value, bool)]
    texts = [prose, *(value for value in constants if isinstance(value, str))]
    return (*(number for text in texts for number in NUMBER.findall(IDENTIFIER.sub(" ", text))), *numbers)
