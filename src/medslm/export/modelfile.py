"""The Modelfile by which Ollama serves a GGUF file as the run was trained: its template, its end of turn, greedy.

Ollama does not execute the chat template in the file: it looks for the nearest of the templates that it knows and else
sends the bare text (https://docs.ollama.com/modelfile#template). So the template is written here, in Ollama's own
language, from what the run's prompts look like, but for the token that begins a text: the file tells its readers to put
that there (`gguf.write`). There is no `SYSTEM`, since none was trained.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from medslm.data.formats import layout, template
from medslm.errors import MedslmError
from medslm.export.subject import Subject

OPENING = re.compile(r"\{\{|\{$")
"""What Go's templates would read as theirs, also together with the braces that are written behind it."""

NO_SYSTEM = '{{ template "a system text, which has no place in the prompts that this run was trained on," . }}'
"""Go's templates fail with the name of one that is not there, and Ollama tells the user."""


def text(subject: Subject, file: str) -> str:
    """The Modelfile beside `file`. Raises `MedslmError` for a template that Ollama's language cannot hold."""
    licence: Mapping[str, Any] = subject.record["gates"]["license"]
    terms = " ".join(str(part) for part in (licence["name"] or licence["id"], licence["link"]) if part)
    why = "".join(f"\n{reason}" for reason in licence["reasons"])
    written = _template(subject)
    for told in (written, terms + why):
        if '"""' in told:
            raise MedslmError('the template or the licence holds """, which ends a text in a Modelfile; change it')
    return (
        f"# {subject.name}: ollama create {subject.name} -f Modelfile\n"
        f"FROM ./{file}\n"
        f'TEMPLATE """{written}"""\n'
        f'PARAMETER stop "{subject.renderer.end_of_turn}"\n'
        "PARAMETER temperature 0\n"
        f'LICENSE """{terms}{why}"""\n'
    )


def begin(subject: Subject) -> str:
    """The token with which all prompts of the run begin; empty if there is none. Where the file says so, llama.cpp and
    Ollama put it before every text, also one that has it."""
    token = subject.tokenizer.bos_token
    return str(token) if token and _parts(subject, 0)[0].startswith(token) else ""


def _template(subject: Subject) -> str:
    """What stands around each turn, in the language of https://pkg.go.dev/text/template.

    `.System` is all that was said as the system, `.Messages` every turn, those of the system too:
    https://github.com/ollama/ollama/blob/main/template/template.go. A system's text stands where the run's prompts have
    it: in a turn of its own, or before the first question where the base's template knows no such turn.
    """
    opened, replied, again, asked = _parts(subject, 1)
    between = [replied, again]
    if any(_parts(subject, more) != [opened, *between * more, asked] for more in (0, 2)):
        raise MedslmError(
            "the chat template writes a turn otherwise in a longer conversation, which Ollama cannot be told"
        )
    opened, replied, again, closed = map(_literal, (opened.removeprefix(begin(subject)), *between, asked))
    return (
        f"{{{{ if .System }}}}{_system(subject, between, asked)}{{{{ else }}}}{opened}{{{{ end }}}}"
        "{{ $begun := false }}{{ range .Messages }}"
        f'{{{{ if eq .Role "user" }}}}{{{{ if $begun }}}}{again}{{{{ end }}}}{{{{ $begun = true }}}}{{{{ .Content }}}}'
        f'{{{{ else if eq .Role "assistant" }}}}{replied}{{{{ .Content }}}}{{{{ end }}}}{{{{ end }}}}{closed}'
    )


def _system(subject: Subject, between: list[str], asked: str) -> str:
    """How a prompt with a system's text begins; where a Modelfile cannot hold its place, what makes Ollama refuse it."""
    try:
        found = [_parts(subject, more, system=True) for more in range(3)]
    except MedslmError:  # the template refuses such a text, or writes it elsewhere, as before the last question
        return NO_SYSTEM
    (before, behind), first = found[0][:2], begin(subject)
    same = found == [[before, behind, *between * more, asked] for more in range(3)]
    if not (same and before.startswith(first)):
        return NO_SYSTEM
    return f"{_literal(before.removeprefix(first))}{{{{ .System }}}}{_literal(behind)}"


def _parts(subject: Subject, exchanges: int, system: bool = False) -> list[str]:
    """What the run's prompts hold before, between and behind the turns: so many questions with replies, and a question."""
    around = subject.renderer.format.layout
    frame = (
        template.of(subject.tokenizer, apart=not subject.renderer.format.thinks)
        if around is None
        else layout.headings(around, subject.tokenizer)
    )
    roles = ["system"] * system + ["user", "assistant"] * exchanges + ["user"]
    turns = [(role, f"zq{number}qz") for number, role in enumerate(roles)]  # texts that occur in no template
    written, parts = frame.prompt(turns[:-1], turns[-1][1], False), []
    for _, mark in turns:
        part, found, written = written.partition(mark)
        if not found:
            raise MedslmError("the chat template leaves out or changes a turn, so it cannot be written for Ollama")
        parts.append(part)
    return [*parts, written]


def _literal(written: str) -> str:
    """Text that Go's templates leave as it is."""
    return OPENING.sub(lambda found: f'{{{{ "{found[0]}" }}}}', written)
