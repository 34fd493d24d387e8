"""Questions to one judge: those whose answers are kept are not asked again, the others are asked side by side."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from medslm.errors import MedslmError
from medslm.evals.judge import abilities, answer
from medslm.evals.judge.abilities import Abilities
from medslm.evals.judge.answer import Answer
from medslm.evals.judge.endpoint import Endpoint, Price, Settings
from medslm.evals.judge.prompts import Prompt
from medslm.evals.judge.rubric import Rubric
from medslm.evals.kept import Kept
from medslm.infer.engines.client import Client, Refused

NAME = "judge.jsonl"
CHARACTERS = 4  # of English a token, about
SCHEMA = 1


@dataclass(frozen=True, eq=False)  # two that ask the same are two
class Question:
    """One prompt under one rubric; another `seed` asks the same once more."""

    prompt: Prompt
    rubric: Rubric
    seed: int = 0


@dataclass(frozen=True)
class Plan:
    """What is still to be sent."""

    calls: int
    kept: int
    tokens_in: int
    """About: four characters of English are a token."""

    tokens_out: int
    """At most."""

    def text(self, endpoint: Endpoint, price: Price | None) -> str:
        """One sentence."""
        if not self.calls:
            return f"judge: all {self.kept:,} answers of {endpoint.model} are kept; nothing is sent"
        cost = "no price was given"
        if price:
            least, most = price.of(self.tokens_in, 0), price.of(self.tokens_in, self.tokens_out)
            cost = f"between {least:,.2f} and {most:,.2f} at the price given"
        return (
            f"judge: {self.calls:,} calls to {endpoint.model} at {endpoint.url}, about {self.tokens_in:,} tokens in and at "
            f"most {self.tokens_out:,} out, {cost}; {self.kept:,} answers are kept already"
        )


class Interrupted(MedslmError):
    """The judge could not be asked to the end; `kept` of `of` answers are on the disk."""

    def __init__(self, why: str, kept: int, of: int) -> None:
        super().__init__(why)
        self.kept, self.of = kept, of


class Judge:
    """One endpoint, with the file that keeps its answers."""

    def __init__(self, endpoint: Endpoint, settings: Settings, kept: Kept) -> None:
        self.endpoint, self.settings, self.kept = endpoint, settings, kept
        self.asked = 0
        """Requests sent, further attempts and the trial of what the server takes among them."""
        self.refusal = ""
        """What the server said when it first refused a question."""

    @property
    def abilities(self) -> Abilities | None:
        """What the server takes, as far as it was found out."""
        found = self.kept.found.get(self._id("abilities"))
        return None if found is None else Abilities(**found)

    def plan(self, questions: Sequence[Question]) -> Plan:
        """What asking these would send."""
        known = self.abilities or Abilities()
        by_id = {self.digest(question, known): question for question in questions}
        missing = [question for name, question in by_id.items() if name not in self.kept.found]
        characters = sum(len(message["content"]) for one in missing for message in one.prompt.messages)
        bound = sum(one.rubric.max_tokens for one in missing)
        return Plan(len(missing), len(by_id) - len(missing), characters // CHARACTERS, bound)

    def ask(self, questions: Sequence[Question]) -> dict[Question, Answer | None]:
        """The answer to each, none to one that the server refuses; says beforehand what is sent.

        Questions that ask the same get one and the same answer.

        Raises `Interrupted` if the judge cannot be asked to the end.
        """
        plan = self.plan(questions)
        print(plan.text(self.endpoint, self.settings.price), file=sys.stderr)
        if plan.calls:
            self._ask_missing(questions)
        known = self.abilities or Abilities()
        names = {question: self.digest(question, known) for question in questions}
        answers = {name: Answer(**self.kept.found[name]) for name in names.values() if name in self.kept.found}
        return {question: answers.get(name) for question, name in names.items()}

    def digest(self, question: Question, known: Abilities) -> str:
        """What an answer is kept under: the endpoint and its model, the rubric, the prompt and the parameters."""
        messages = known.messages(question.prompt.messages)
        parameters = known.parameters(question.prompt.schema, question.rubric.max_tokens, question.seed)
        # a server that takes no seed is asked once more all the same, as a different question
        return self._id("answer", question.rubric.digest, messages, parameters, question.seed)

    def _id(self, *parts: Any) -> str:
        told = json.dumps([self.endpoint.url, self.endpoint.model, *parts], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()

    def _ask_missing(self, questions: Sequence[Question]) -> None:
        client = Client(self.endpoint, patience=self.settings.patience, timeout=self.settings.timeout)
        total = self.plan(questions)
        try:
            with client:
                known = self.abilities
                if known is None:
                    known = abilities.probe(client)
                    self.kept.add({self._id("abilities"): known.as_json()})
                by_id = {self.digest(question, known): question for question in questions}
                self._gather(client, {name: one for name, one in by_id.items() if name not in self.kept.found}, known)
        except MedslmError as error:
            left = self.plan(questions)
            raise Interrupted(str(error), left.kept, total.calls + total.kept) from error
        finally:
            self.asked += client.attempts

    def _gather(self, client: Client, missing: Mapping[str, Question], known: Abilities) -> None:
        """Ask side by side; each answer is on the disk before the next is taken."""
        lock = threading.Lock()

        def one(asked: tuple[str, Question]) -> None:
            name, question = asked
            prompt = question.prompt
            parameters = known.parameters(prompt.schema, question.rubric.max_tokens, question.seed)
            try:
                found = answer.ask(client, known.messages(prompt.messages), parameters)
            except Refused as refused:
                self.refusal = self.refusal or str(refused)
                return
            with lock:
                self.kept.add({name: found.as_json()})

        with tqdm(total=len(missing), desc="verdicts", unit="verdict") as bar:
            client.each(one, list(missing.items()), self.settings.workers, bar.update)


def kept(folder: Path) -> Kept:
    """The answers kept in a folder, of all judges."""
    return Kept(folder / NAME, {"of": "judges", "schema": SCHEMA})
