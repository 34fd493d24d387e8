"""One code path from an example to the text and the tokens a model sees: training, lm-eval and generation share it.

Text of an example never becomes a special token: whatever holds one (`<|im_end|>`) is refused and counted, and not
split into harmless pieces, since prompts also travel as text (through lm-eval, to servers), where nobody could tell the
example's own words from the template's.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from medslm.data.example import Example
from medslm.data.formats import layout, template
from medslm.data.formats.format import Format, formats
from medslm.data.formats.notation import ENDS
from medslm.data.formats.refusal import Unwritable
from medslm.errors import MedslmError

TABLE = [{"code": "1E50", "title": "one, two: 3"}, {"code": "250.00", "title": "three"}]
PROBES = (  # what the hash looks at: every kind of example
    Example("flat", "instruction", "text", {"field": "one, two: 3", "other": "1E50"}, "f"),
    Example("letter", "instruction", "text", "B", "f", ("first", "second")),
    Example("table", "instruction", {"note": "one\ntwo", "age": "54", "labs": TABLE}, {"rows": TABLE, "none": []}, "f"),
    Example("turns", "", "text", "answer", "f", turns=(("system", "S"), ("user", "U"), ("assistant", "A"))),
)


class Tokenizer(Protocol):
    """What is used of a `transformers.PreTrainedTokenizerFast`."""

    chat_template: Any
    bos_token: Any
    bos_token_id: Any
    eos_token: Any
    backend_tokenizer: Any
    added_tokens_decoder: Any

    def get_chat_template(self) -> str: ...
    def get_added_vocab(self) -> dict[str, int]: ...
    def apply_chat_template(self, conversation: list[dict[str, str]], **kwargs: Any) -> Any: ...
    def __call__(self, text: str, **kwargs: Any) -> Any: ...


@dataclass(frozen=True)
class Tokens:
    """One training row."""

    input_ids: list[int]
    """Prompt, answer and the end-of-turn token. (T,)"""

    completion_mask: list[int]
    """1 where a token carries loss: the answer and the end-of-turn token. (T,)"""


class Renderer:
    """Writes examples for one tokenizer in one format. Picklable.

    Raises `MedslmError` if the tokenizer lacks what the format needs: a chat template, or a token that ends a text.
    """

    def __init__(self, tokenizer: Tokenizer, format: str) -> None:
        self.format: Format = formats[format]
        self._name, self._tokenizer = format, tokenizer
        around = self.format.layout
        self._frame: template.Template | layout.Headings = (
            template.of(tokenizer, apart=not self.format.thinks)
            if around is None
            else layout.headings(around, tokenizer)
        )
        added = tokenizer.added_tokens_decoder
        special = {token.content: index for index, token in added.items() if token.special}
        special |= {self.end_of_turn: tokenizer.get_added_vocab().get(self.end_of_turn)}
        self._special_ids = frozenset(special.values())
        self._special = re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))))
        self._anchors: dict[str, list[int]] = {}
        self._refuse_own_words()

    def __reduce__(self) -> tuple[type[Renderer], tuple[Tokenizer, str]]:
        return Renderer, (self._tokenizer, self._name)

    @property
    def end_of_turn(self) -> str:
        """The token at which generation stops."""
        return self._frame.end

    def _refuse_own_words(self) -> None:
        words = self.format.question_of(PROBES[0]) + self.format.answer_of(PROBES[0])
        if found := self._special.search(words):
            raise MedslmError(
                f"format '{self._name}' writes {found[0]!r}, which is a special token of this base and would be lost "
                "when a reply is read; choose format 'chat'"
            )

    def _checked(self, *texts: str) -> str:
        """The last of the texts. Raises `Unwritable` if one of them cannot be tokenised as what it is."""
        for text in texts:
            if found := self._special.search(text):
                raise Unwritable(
                    "special token in the text",
                    f"its text holds {found[0]!r}, which is a special token of this base; leave the example out, or "
                    "replace the word",
                )
            try:
                _ = text.isascii() or text.encode()
            except UnicodeEncodeError as error:
                raise Unwritable("half a character", f"its text holds half of a surrogate pair: {error}") from error
        return texts[-1]

    def prompt(self, example: Example) -> str:
        """The text up to where the model starts to answer. Raises `Unwritable`.

        A base that thinks is asked to if the example has reasoning; otherwise it gets the prompt of an answer without.
        """
        if not self._asks:
            return self._frame.prompt((), "", False)
        turns = [text for _, text in example.turns]
        with self._naming(example):
            question = self._checked(*turns, self.format.question_of(example, self.cost))
            return self._frame.prompt(example.turns, question, bool(self._apart(example)))

    def completion(self, example: Example) -> str:
        """What carries loss: answer and end-of-turn token, and what the format puts about them. Raises `Unwritable`.

        Raises `MedslmError` for reasoning where it has no place.
        """
        with self._naming(example):
            written = self.format.answer_of(example) if self._asks else self.format.document_of(example, self.cost)
            return self._frame.completion(self._checked(example.reasoning, written), self._apart(example))

    @contextlib.contextmanager
    def _naming(self, example: Example) -> Iterator[None]:
        """Say in a refusal which example it is about."""
        try:
            yield
        except Unwritable as refusal:
            raise Unwritable(refusal.reason, f"example {example.id}: {refusal}") from refusal
        except MedslmError as error:
            raise MedslmError(f"example {example.id} cannot be written as '{self._name}': {error}") from error

    def choices(self, example: Example) -> list[str]:
        """The rival answers of a multiple-choice item as they would follow its prompt, without what ends them."""
        return [self._frame.lead + rival for rival in self.format.choices_of(example)]

    @property
    def _asks(self) -> bool:
        return self.format.layout is None or self.format.layout.prompted

    def _apart(self, example: Example) -> str:
        """Reasoning that the frame is to write, since the answer does not hold it."""
        return "" if self.format.thinks or not self._asks else example.reasoning

    def reply(self, text: str) -> str:
        """A generated reply (decoded with its special tokens) without thoughts, tail and end: what `Format.read` reads.

        In the format `think` it still holds the thoughts, which `Format.read` tells apart.
        """
        return self._special.sub("", self._frame.reply(text)).strip(ENDS)

    def ids(self, text: str) -> list[int]:
        """Token ids of rendered text; the layout has written the special tokens already."""
        ids: list[int] = self._backend().encode_batch_fast([text], add_special_tokens=False)[0].ids
        return ids

    def _backend(self) -> Any:
        """The tokenizer without its wrapper, which takes half as long; a collator may have left padding or cutting on."""
        backend = self._tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = False
        return backend

    def cost(self, text: str) -> int:
        """The tokens of a text."""
        return len(self.ids(text))

    def tokens(self, example: Example) -> Tokens:
        """One training row. Raises `Unwritable`, also if prompt and answer share a token, so that loss would leak."""
        prompt, completion = self.prompt(example), self.completion(example)
        whole = self.ids(prompt + completion)
        border = self._border(prompt, completion, whole)
        if border is None:
            before = self.ids(prompt)
            border = len(before)
            if whole[:border] != before:
                raise Unwritable(
                    "prompt and answer share a token",
                    f"example {example.id}: the last token of the prompt merges with the first of the answer, so the "
                    "boundary of the loss is not defined; end the prompt on a token boundary (a newline does it)",
                )
        return Tokens(whole, [0] * border + [1] * (len(whole) - border))

    def _border(self, prompt: str, completion: str, whole: list[int]) -> int | None:
        """How many tokens of `whole` are the prompt's, found without reading the prompt twice; none if it is not seen.

        A tokenizer cuts a text at its special tokens before all else. So up to its last special token a prompt has the
        same tokens alone and in the whole, and from there on only a short end, the same for all prompts, is compared.
        """
        start = max((found.start() for found in self._special.finditer(prompt)), default=None)
        if start is None:
            return None
        end = prompt[start:]
        if end not in self._anchors:
            if len(self._anchors) >= 100:
                return None  # ends that differ from prompt to prompt are no help
            self._anchors[end] = self.ids(end)
        anchor, behind = self._anchors[end], len(self._special.findall(completion))
        places = [place for place, token in enumerate(whole) if token in self._special_ids]
        if len(places) <= behind:
            return None
        place = places[-1 - behind]
        return place + len(anchor) if whole[place : place + len(anchor)] == anchor else None

    @property
    def template_hash(self) -> str:
        """SHA-256 over all that decides how an example is written: template or layout, notation, end of turn, date."""
        written = [_written(write, probe) for probe in PROBES for write in (self.prompt, self.completion)]
        frame = {key: value for key, value in vars(self._frame).items() if key not in ("tokenizer", "layout")}
        around = asdict(self.format.layout) if self.format.layout else []
        choices = [self.choices(probe) for probe in PROBES[:2]]
        decided = [self._name, frame, around, written, choices]
        return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()

    @property
    def vocabulary_hash(self) -> str:
        """SHA-256 of the tokenizer: what text becomes which tokens, and which part of an input is cheaper as JSON."""
        return hashlib.sha256(self._backend().to_str().encode()).hexdigest()


def _written(write: Callable[[Example], str], probe: Example) -> str:
    try:
        return write(probe)
    except Unwritable as refusal:  # a template may refuse what a probe says; that decides as well
        return refusal.reason
