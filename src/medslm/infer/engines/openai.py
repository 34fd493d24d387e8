"""The engine `openai`: a server that speaks OpenAI's completions protocol (vLLM, llama.cpp, TGI, `transformers serve`).

It is sent the tokens of the rendered prompt, so that neither the server's chat template nor its tokenizer has a say;
one that takes texts only gets the text, if it reads the same tokens from it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from medslm import environment
from medslm.data.formats.render import Renderer
from medslm.errors import MedslmError
from medslm.infer.engine import About, Limits, Reply, Score, Wanted
from medslm.infer.engines import told
from medslm.infer.engines.address import PREFIX, Address
from medslm.infer.engines.client import Client, Refused
from medslm.infer.engines.texts import Texts

WHOLE = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "repeat_penalty": 1.0}
"""All tokens, as they are likely: vLLM else takes the base's own settings, llama.cpp its defaults. Not OpenAI's fields."""


class Server:
    """A served model. Raises `MedslmError` if the `openai` package is not installed."""

    def __init__(self, wanted: Wanted, address: Address) -> None:
        self._wanted, self.address, self._texts = wanted, address, Texts(wanted)
        self._model, self._plain, self._fingerprint = address.model, False, ""
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
        answer = self._written(prompt, limits, stream=False)
        choice = told.choice(answer, self.address.url)
        text = self.renderer.reply(str(choice.get("text") or ""))
        return Reply(text, told.tokens(answer), choice.get("finish_reason") == "stop")

    def stream(self, prompt: str, limits: Limits) -> Iterator[str]:
        """As `Engine`. Raises `MedslmError` for a stream that breaks off."""
        finish = ""
        parts = self._written(prompt, limits, stream=True)
        try:
            for part in parts:
                for choice in part.choices or []:
                    finish = choice.finish_reason or finish
                    if choice.text:
                        yield choice.text
        except self._client.broken as error:
            raise MedslmError(f"the reply of {self.address.url} broke off ({self._client.safe(str(error))})") from None
        finally:
            parts.close()
        if not finish:
            raise MedslmError(f"the reply of {self.address.url} broke off: it does not say why it ends")

    def loglikelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[Score]:
        """As `Engine`: from a prompt echoed with its log-probabilities, or token by token where one can be forced.

        Raises `MedslmError` for a server that does neither.
        """
        rows = [self._texts.pair(*pair) for pair in pairs]
        if rows and self._way is None:
            self._way = self._found_way(rows[0])
        return self._client.each(self._way, rows, self._wanted.rows) if self._way else []

    def _found_way(self, row: tuple[list[int], list[int]]) -> Callable[[tuple[list[int], list[int]]], Score]:
        for way in (self._echoed, self._checked):
            with contextlib.suppress(Refused, told.Silent):
                way(row)
                return self._echoed if way == self._echoed else self._forced
        raise MedslmError(
            f"{self.address.url} does not tell how likely a given text is (neither `echo` with `logprobs`, nor forced "
            "tokens), so that multiple choice cannot be scored there; ask vLLM or llama.cpp, or --engine transformers"
        )

    def _echoed(self, row: tuple[list[int], list[int]]) -> Score:
        """One request: vLLM, and what follows OpenAI's first protocol."""
        prompt, after = row
        answer = self._call(prompt=[*prompt, *after], max_tokens=1, temperature=0, logprobs=1, echo=True)
        return told.echoed(told.choice(answer, self.address.url), len(prompt), len(after))

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
        bias = {str(token): told.CERTAIN}
        answer = self._call(prompt=list(prompt), max_tokens=1, temperature=0, logprobs=1, logit_bias=bias)
        return told.forced(told.choice(answer, self.address.url), token)

    @contextlib.contextmanager
    def without_adapter(self) -> Iterator[None]:
        """As `Engine`: for a while the model that the server calls `MEDSLM_ENGINE_BASE` is asked."""
        if self._wanted.adapter is not None and not self.address.base:
            raise MedslmError(f"how does {self.address.url} call the base without the adapter? Set {PREFIX}_BASE")
        before, self._model = self._model, self.address.base or self._model
        try:
            yield
        finally:
            self._model = before

    def close(self) -> None:
        """As `Engine`."""
        self._client.close()

    def _written(self, prompt: str, limits: Limits, stream: bool) -> Any:
        """A reply; a server that refuses tokens or fields beyond OpenAI's is asked without them from there on."""
        ids = self._texts.ids(prompt)
        options: dict[str, Any] = {"max_tokens": limits.max_new_tokens, "temperature": limits.temperature}
        options |= {"seed": limits.seed, "top_p": 1, "stop": [self.renderer.end_of_turn], "stream": stream}
        if self._plain:
            return self._call(prompt=self._same(prompt, ids, "it takes texts only"), **options)
        beyond = {**WHOLE, "stop_token_ids": self._texts.stops, "skip_special_tokens": False}
        try:
            return self._call(prompt=ids, extra_body=beyond, **options)
        except Refused as refusal:
            refused = refusal
        try:
            answer = self._call(prompt=self._same(prompt, ids, str(refused)), **options)
        except Refused:
            raise refused from None
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

    def _call(self, **options: Any) -> Any:
        """One request, as it comes back; raises `Refused`, and `MedslmError` where no other request would do better."""
        answer = self._client.ask(lambda openai: openai.completions.create(model=self._model, **options))
        self._fingerprint = getattr(answer, "system_fingerprint", None) or self._fingerprint
        return answer
