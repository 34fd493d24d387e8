"""As much of Go's text/template as a Modelfile of ours holds, executed as Ollama does: https://pkg.go.dev/text/template."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

ACTION = re.compile(r"\{\{ (.*?) \}\}", re.DOTALL)
Messages = list[tuple[str, str]]
Block = list[Any]
"""Text, or an action with the blocks that follow it: `("if .System", [...], ("else", [...]))`."""


def execute(template: str, messages: Messages) -> str:
    """What Ollama sends to the model; an action that is not known here raises `ValueError`."""
    told: dict[str, Any] = {"$begun": None}
    told[".System"] = "\n\n".join(content for role, content in messages if role == "system")
    words = iter(ACTION.split(template))
    return "".join(_run(_block(words, next(words))[0], told, messages))


def _block(words: Iterator[str], text: str) -> tuple[Block, str]:
    """The nodes up to the `end` or `else` that closes them, and that action."""
    nodes: Block = [text]
    for action in words:
        text = next(words)
        if action == "end" or action.startswith("else"):
            return [*nodes, ("", text)], action
        if action.startswith(("if ", "range ")):
            branches = []
            while action != "end":
                inner, closed = _block(words, text)
                text = inner.pop()[1]
                branches.append((action, inner))
                action = closed
            nodes += [branches, text]
        else:
            nodes += [(action, ""), text]
    return nodes, ""


def _run(nodes: Block, told: dict[str, Any], messages: Messages) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, str):
            yield node
        elif isinstance(node, list):
            yield from _branch(node, told, messages)
        elif node[0].startswith("$begun"):
            told["$begun"] = node[0].endswith("true")
        elif node[0] in told:
            yield told[node[0]]
        elif re.fullmatch(r'"[{]+"', node[0]):
            yield node[0][1:-1]
        else:
            raise ValueError(node[0])


def _branch(branches: list[tuple[str, Block]], told: dict[str, Any], messages: Messages) -> Iterator[str]:
    head, inner = branches[0]
    if head == "range .Messages":
        for told[".Role"], told[".Content"] in messages:
            yield from _run(inner, told, messages)
        return
    for action, inner in branches:
        asked = action.removeprefix("else").strip().removeprefix("if").strip()
        role = re.fullmatch(r'eq \.Role "(\w+)"', asked)
        if not asked or (role and told[".Role"] == role[1]) or told.get(asked):
            yield from _run(inner, told, messages)
            return
