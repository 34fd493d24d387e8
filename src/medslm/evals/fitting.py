"""Which items a model can be asked: prompt and answer must fit what it reads, and nothing is ever cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from medslm.data.formats.render import Renderer
from medslm.errors import MedslmError
from medslm.evals.documents import Document
from medslm.evals.respondent import Respondent


def fitting(
    task: str, asked: Sequence[Document], engine: Respondent, max_new_tokens: int, left_out: Counter[str]
) -> list[Document]:
    """The documents that fit the model with their answers. Raises `MedslmError` for a question that does not."""
    fit, room = [], engine.room
    for document in asked:
        why = _too_long(document, engine.renderer, room, max_new_tokens)
        if why and document["letters"]:  # every item of an exam counts
            raise MedslmError(
                f"item {document['id']} of {task}: {why[1]}; take the item out of the benchmark, raise max_gen_toks in "
                f"{task}.yaml, or choose a base with a longer context"
            )
        if why:
            left_out[why[0]] += 1
        else:
            fit.append(document)
    if not fit:
        raise MedslmError(f"no item of {task} fits the model: {dict(left_out)}; choose a base with a longer context")
    return fit


def _too_long(document: Document, renderer: Renderer, room: int | None, max_new_tokens: int) -> tuple[str, str] | None:
    """Why the document cannot be asked, in general and of this one; none if it can."""
    answers = [document["target"], *document["choices"], *document.get("rivals", ())]
    longest = max(len(answer.encode()) for answer in answers)  # a token has a byte or more, and is slower to count
    if max_new_tokens and longest >= max_new_tokens:
        key = max(len(renderer.ids(answer)) for answer in answers)
        if key >= max_new_tokens:
            told = f"its key has {key} tokens and an end, but a reply may have only {max_new_tokens}"
            return f"a key longer than the {max_new_tokens} tokens of a reply", told
    after = max_new_tokens or longest
    if room is None or len(document["prompt"].encode()) + after <= room:
        return None
    after = max_new_tokens or max(len(renderer.ids(answer)) for answer in answers)
    if (whole := len(renderer.ids(document["prompt"])) + after) <= room:
        return None
    return (
        f"longer than the {room} tokens that the model reads",
        f"prompt and reply have {whole} tokens together, but the model reads {room}",
    )
