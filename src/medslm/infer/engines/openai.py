"""The engine `openai`: a server that speaks OpenAI's completions protocol (vLLM, llama.cpp, TGI, `transformers serve`).

It is sent the tokens of the rendered prompt, so that neither the server's chat template nor its tokenizer has a say;
one that takes texts only gets the text, if it reads the same tokens from it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from medslm import environment
from medslm.data.formats.render import Renderer
from medslm.errors import MedslmError
from medslm.infer.engine import About, Limits, Reply, Score, Wanted
from medslm.infer.engines import told
from medslm.infer.engines.address import PREFIX, Address
from medslm.infer.engines.client import Client, Refused, Unavailable
from medslm.infer.engines.texts import Texts
from medslm.infer.engines.words import line, of_tokens

R = TypeVar("R")
NOBODY = "medslm-asks-whether-names-matter"
"""What no server calls a model."""

WHOLE = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "repeat_penalty": 1.0}
"""All tokens, as they are likely: vLLM else takes the base's own settings, llama.cpp its defaults. Not OpenAI's fields."""


class Server:
    """A served model. Raises `MedslmError` if the `openai` package is not installed."""

    def __init__(self, wanted: Wanted, address: Address) -> None:
        self._wanted, self.address, self._texts = wanted, address, Texts(wanted)
        self._model, self._plain, self._fingerprint = address.model, False, ""
        self._heeded = False  # it is known that another name is another model
        self._warned: set[str] = set()
        self._way: Callable[[tuple[list[int], list[int]]], Score] | None = None
        self._client = Client(address, patience=address.patience, timeout=address.timeout)

    @property
    def renderer(self) -> Renderer:
        """Writes the prompts."""
        return self._texts.renderer

    @property
    def about(self) -> About:
        """What answers; the server's own word for its build is there after the first answer."""
        versions = environment.versions(("medslm", "openai"))
        versions |= {"server": self._fingerprint} if self._fingerprint else {}
        adapter = None if self._wanted.adapter is None else self._wanted.adapter.as_posix()
        return About("openai", versions, self.address.model, adapter, self.address.url)

    def generate(self, prompts: Sequence[str], limits: Limits) -> list[Reply]:
        """As `Engine`, up to `rows` requests at a time. Raises `MedslmError` for a server that refuses or is not there."""
        if not prompts:
            return []
        first = self._reply(prompts[0], limits)  # alone: it finds out how the server is to be asked
        return [first, *self._client.each(lambda prompt: self._reply(prompt, limits), prompts[1:], self._wanted.rows)]

    def _reply(self, prompt: str, limits: Limits) -> Reply:
        asked = len(self._texts.ids(prompt))

        def read(answer: Any) -> Reply:
            found = told.choice(answer)
            text, ended = told.text(found), told.ended(found)
            self._warn("read", told.misread(answer, asked))
            if ended is None:
                self._warn("end", told.ENDLESS)
            elif not ended:
                self._warn("room", told.cut(answer, asked, limits.max_new_tokens))
            return Reply(self.renderer.reply(text), told.count(answer, "completion_tokens"), bool(ended))

        return self._written(prompt, limits, read)

    def stream(self, prompt: str, limits: Limits) -> Iterator[str]:
        """As `Engine`. Raises `MedslmError` for a stream that breaks off."""
        finish, broke = None, f"the reply of {self.address.url} broke off"
        parts = self._written(prompt, limits, lambda parts: parts, stream=True)
        try:
            for part in parts:
                for choice in part.choices or []:
                    finish, text = choice.finish_reason or finish, getattr(choice, "text", None)
                    if not isinstance(text, str) and not (finish and text is None and hasattr(choice, "text")):
                        raise MedslmError(
                            f"{broke}: a part holds no text; is it a server of OpenAI's completions protocol?"
                        )
                    if text:
                        yield text
        except self._client.broken as error:
            said = line(self._client.safe(str(error)), [prompt])
            raise MedslmError(f"{broke} ({said})") from None
        except (ValueError, AttributeError, TypeError):
            raise MedslmError(f"{broke}: a part of it is no completion") from None
        finally:
            parts.close()
        if finish not in (*told.ENDED, told.BOUND):
            raise MedslmError(f"{broke}: {told.unfinished(finish)}")

    def loglikelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[Score]:
        """As `Engine`: from a prompt echoed with its log-probabilities, or token by token where one can be forced.

        Raises `MedslmError` for a server that does neither.
        """
        rows = [self._texts.pair(*pair) for pair in pairs]
        if rows and self._way is None:
            self._way = self._found_way(rows[0])
        return self._client.each(self._scored, rows, self._wanted.rows)

    def _scored(self, row: tuple[list[int], list[int]]) -> Score:
        assert self._way is not None
        try:
            return self._way(row)
        except told.Silent:
            raise MedslmError(
                f"{self.address.url} has told how likely a text is, and does not tell it of another one; ask it again, or "
                "--engine transformers"
            ) from None

    def _found_way(self, row: tuple[list[int], list[int]]) -> Callable[[tuple[list[int], list[int]]], Score]:
        said = ""
        for way in (self._echoed, self._checked):
            try:
                way(row)
                return self._echoed if way == self._echoed else self._forced
            except told.Silent:
                continue
            except Refused as refused:
                said = f". Its words: {refused}"
        raise MedslmError(
            f"{self.address.url} does not tell how likely a given text is (neither `echo` with `logprobs`, nor forced "
            "tokens), so that multiple choice cannot be scored there; ask vLLM or llama.cpp, or --engine transformers"
            + said
        )

    def _echoed(self, row: tuple[list[int], list[int]]) -> Score:
        """One request: vLLM, and what follows OpenAI's first protocol."""
        prompt, after = row
        asked = {"prompt": [*prompt, *after], "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True}
        return self._call(lambda answer: told.echoed(told.choice(answer), len(prompt), len(after)), **asked)

    def _forced(self, row: tuple[list[int], list[int]]) -> Score:
        """One request a token, which the bias makes certain and whose probability is told without it: llama.cpp."""
        prompt, after = row
        found = [self._one(prompt + after[:place], token) for place, token in enumerate(after)]
        return sum(one for one, _ in found), all(best == token for (_, best), token in zip(found, after))

    def _checked(self, row: tuple[list[int], list[int]]) -> None:
        """Raise `told.Silent` if the bias is in what is told: two tokens after one prompt are not both certain."""
        prompt, after = row
        _, best = self._one(prompt, after[0])
        told.require_unbiased(self._one(prompt, best)[0], self._one(prompt, 0 if best else 1)[0])

    def _one(self, prompt: Sequence[int], token: int) -> tuple[float, int]:
        """The log-probability of a token after the prompt, and which one is the likeliest."""
        asked = {"prompt": list(prompt), "max_tokens": 1, "temperature": 0, "logprobs": 1}

        def read(answer: Any) -> tuple[float, int]:
            found = told.choice(answer)
            self._warn("read", told.misread(answer, len(prompt)))
            return told.forced(found, token)

        return self._call(read, **asked, logit_bias={str(token): told.CERTAIN})

    @contextlib.contextmanager
    def without_adapter(self) -> Iterator[None]:
        """As `Engine`: for a while the model that the server calls `MEDSLM_ENGINE_BASE` is asked."""
        if self._wanted.adapter is not None and not self.address.base:
            raise MedslmError(f"how does {self.address.url} call the base without the adapter? Set {PREFIX}_BASE")
        if self._wanted.adapter is not None and not self._heeded:
            self._require_names()
        before, self._model = self._model, self.address.base or self._model
        try:
            yield
        finally:
            self._model = before

    def _require_names(self) -> None:
        """Raise `MedslmError` where one model answers under any name, which it does not list: base and adapter are one.

        Where it does not say which models it has, that base and adapter may be one is said.
        """
        asked = {"model": NOBODY, "prompt": "a", "max_tokens": 1}
        try:
            self._client.ask(lambda openai: told.choice(openai.completions.create(**asked)), refusals=(500,))
        except Unavailable:
            raise
        except MedslmError:
            self._heeded = True
            return
        self._heeded, names = True, self._names()
        both = f"answers under any name, so that '{self.address.model}' and '{self.address.base}'"
        otherwise = "serve both by name (vLLM does), or --engine transformers"
        if names and not {self.address.model, self.address.base} <= names:
            raise MedslmError(
                f"{self.address.url} {both} are one model there ({', '.join(sorted(names))}) and cannot be compared; "
                f"{otherwise}"
            )
        self._warn("names", f"{both} may be one model there, and a comparison of one with itself; if so, {otherwise}")

    def _names(self) -> set[str]:
        """What the server calls its models; none if it does not say."""
        try:
            return self._client.ask(
                lambda openai: {str(one.id) for one in openai.models.list()}, refusals=range(500, 600)
            )
        except MedslmError:
            return set()

    def close(self) -> None:
        """As `Engine`."""
        self._client.close()

    def _warn(self, kind: str, told: str) -> None:
        """Say once what a server says of itself, if anything."""
        if told and kind not in self._warned:
            self._warned.add(kind)
            print(f"{self.address.url} {told}", file=sys.stderr)

    def _written(self, prompt: str, limits: Limits, read: Callable[[Any], R], stream: bool = False) -> R:
        """A reply; a server that refuses tokens or fields beyond OpenAI's is asked without them from there on."""
        ids = self._texts.ids(prompt)
        options: dict[str, Any] = {"max_tokens": limits.max_new_tokens, "temperature": limits.temperature}
        options |= {"seed": limits.seed, "top_p": 1, "stop": [self.renderer.end_of_turn], "stream": stream}
        if self._plain:
            return self._call(read, prompt=self._same(prompt, ids, "it takes texts only"), **options)
        beyond = {**WHOLE, "stop_token_ids": self._texts.stops, "skip_special_tokens": False}
        try:
            return self._call(read, prompt=ids, extra_body=beyond, **options)
        except Refused as refusal:
            refused = refusal
        text = self._same(prompt, ids, str(refused))
        try:
            if stream:  # which does not say how many tokens were read
                self._call(lambda one: self._warn("read", told.misread(one, len(ids))), prompt=text, max_tokens=1)
            answer = self._call(read, prompt=text, **options)
        except Refused as again:
            if str(again) == str(refused):
                raise refused from None
            raise Refused(f"{refused}; and without tokens and fields beyond OpenAI's: {again}") from None
        self._plain = True
        return answer

    def _same(self, prompt: str, ids: list[int], why: str) -> str:
        """The text from which a server with the base's tokenizer, which may add a BOS, reads these tokens."""
        begins = self._texts.tokenizer.bos_token
        for text in dict.fromkeys((prompt, prompt.removeprefix(begins or ""))):
            if self._texts.tokenizer(text).input_ids == ids:
                return text
        raise MedslmError(
            f"{self.address.url} cannot be sent tokens ({why}), and from the text it would read other tokens than the "
            "model was trained on; ask vLLM or llama.cpp, which take tokens"
        )

    def _call(self, read: Callable[[Any], R], **options: Any) -> R:
        """What `read` makes of the answer to one request; what it raises as `Passing` is asked again. As `Client.ask`."""
        prompt: str | list[int] = options["prompt"]

        def asked() -> list[str]:
            if isinstance(prompt, str):
                return [prompt, *of_tokens(self._texts.ids(prompt))]
            return [self._texts.tokenizer.decode(prompt), *of_tokens(prompt)]

        def send(openai: Any) -> R:
            answer = openai.completions.create(model=self._model, **options)
            self._client.require_no_error(answer, asked)
            self._fingerprint = str(getattr(answer, "system_fingerprint", None) or self._fingerprint)
            return read(answer)

        return self._client.ask(send, asked=asked)
