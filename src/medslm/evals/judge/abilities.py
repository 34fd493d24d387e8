"""What the judge's server takes and heeds: found out by asking, since some take a setting and silently ignore it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from medslm.evals.judge import answer as answers
from medslm.evals.judge.answer import Messages
from medslm.infer.engines.client import Client, Refused

Output = Literal["schema", "object", "prose"]
"""An answer under a JSON schema; a JSON object of any shape; whatever the model writes."""

OUTPUTS: tuple[Output, ...] = ("schema", "object", "prose")
TRIAL = (
    {"role": "system", "content": "You do exactly what is asked."},
    {"role": "user", "content": "Write the single word hello as plain text. Do not write JSON."},
)
"""Only a server that holds the model to a shape answers this with JSON."""
TRIAL_SCHEMA = {
    "type": "object",
    "properties": {"colour": {"type": "string", "enum": ["blue"]}},
    "required": ["colour"],
    "additionalProperties": False,
}
TRIAL_TOKENS = 256


@dataclass(frozen=True)
class Abilities:
    """How a request to this server looks."""

    output: Output = "schema"
    length: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: bool = True
    """Whether it takes a temperature, which is then 0."""

    seed: bool = True
    system: bool = True
    """Whether it takes a message of the system."""

    def as_json(self) -> dict[str, Any]:
        """As it is kept and stated."""
        return asdict(self)

    def parameters(self, schema: Mapping[str, Any], max_tokens: int, seed: int) -> dict[str, Any]:
        """The parameters of a request whose answer has this shape."""
        told: dict[str, Any] = {self.length: max_tokens}
        if self.temperature:
            told["temperature"] = 0
        if self.seed:
            told["seed"] = seed
        if self.output == "schema":
            shape = {"name": "verdict", "strict": True, "schema": dict(schema)}
            told["response_format"] = {"type": "json_schema", "json_schema": shape}
        elif self.output == "object":
            told["response_format"] = {"type": "json_object"}
        return told

    def messages(self, messages: Messages) -> list[Mapping[str, str]]:
        """The messages, as one of the user's where the server takes no other."""
        if self.system:
            return list(messages)
        return [{"role": "user", "content": "\n\n".join(message["content"] for message in messages)}]

    def without(self, refusal: str) -> Abilities | None:
        """What is left after a refusal that names a setting; none if it names nothing that can be left out."""
        said = refusal.lower()
        if "max_tokens" in said and "max_completion_tokens" in said and self.length == "max_tokens":
            return replace(self, length="max_completion_tokens")
        if "temperature" in said and self.temperature:
            return replace(self, temperature=False)
        if "seed" in said and self.seed:
            return replace(self, seed=False)
        if "system" in said and self.system:
            return replace(self, system=False)
        return self.plainer() if self.output != "prose" else None

    def plainer(self) -> Abilities:
        """The next weaker output."""
        return replace(self, output=OUTPUTS[OUTPUTS.index(self.output) + 1])


def probe(client: Client) -> Abilities:
    """Find out with one to eight small requests that hold nothing of the data.

    Raises `Refused` if the server refuses even the plainest request, and what `Client.ask` raises.
    """
    found = Abilities()
    while True:
        try:
            answer = answers.ask(client, found.messages(TRIAL), found.parameters(TRIAL_SCHEMA, TRIAL_TOKENS, 0))
        except Refused as refused:
            if (weaker := found.without(str(refused))) is None:
                raise
            found = weaker
            continue
        if found.output == "prose" or _heeded(found.output, answer.text):
            return found
        found = found.plainer()


def _heeded(output: Output, text: str) -> bool:
    try:
        told = json.loads(text)
    except ValueError:
        return False
    return told == {"colour": "blue"} if output == "schema" else isinstance(told, dict)
