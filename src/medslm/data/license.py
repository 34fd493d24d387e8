"""Which licence an adapter can carry, given those of its base and its corpora; what is not known is never guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from medslm.registry import nearest

NON_COMMERCIAL = "non-commercial"
SHARE_ALIKE = "share-alike"
NO_DERIVATIVES = "no-derivatives"
USE_POLICY = "use-policy"
DATA_USE_AGREEMENT = "data-use-agreement"
UNKNOWN = "unknown"
CONFLICT = "conflict"

FORBIDS_PUBLISHING = frozenset({NO_DERIVATIVES, DATA_USE_AGREEMENT, UNKNOWN, CONFLICT})

MEANING: Mapping[str, str] = {
    NON_COMMERCIAL: "it forbids commercial use",
    SHARE_ALIKE: "it asks derived works to carry the same licence",
    NO_DERIVATIVES: "it forbids publishing derived works",
    USE_POLICY: "its terms of use travel with everything derived from it",
    DATA_USE_AGREEMENT: "a data use agreement binds those who read it, so nothing learnt from it is published openly",
}


@dataclass(frozen=True)
class Terms:
    """What one licence asks of a work derived from it."""

    flags: tuple[str, ...] = ()
    """Keys of `MEANING`; none for a permissive licence."""

    link: str = ""
    """Where its text stands, for a licence that has no identifier on the Hub."""

    note: str = ""
    """What else it asks, as a clause."""


@dataclass(frozen=True)
class License:
    """The licence of an adapter, as the Hub's metadata want it, and why."""

    id: str
    """As the Hub spells it: https://huggingface.co/docs/hub/repositories-licenses."""

    name: str | None = None
    """The Hub's `license_name`, given where `id` is `other`."""

    link: str | None = None
    """The Hub's `license_link`, if known."""

    flags: tuple[str, ...] = ()
    """What a user must heed: the constants of this module."""

    reasons: tuple[str, ...] = ()
    """Sentences that say where the licence and each flag come from."""

    @property
    def publishable(self) -> bool:
        """False while a licence is unknown, forbids it, or contradicts another."""
        return not FORBIDS_PUBLISHING & set(self.flags)


PERMISSIVE = (
    "apache-2.0 mit isc zlib ncsa wtfpl unlicense afl-3.0 bsl-1.0 ecl-2.0 postgresql bsd bsd-2-clause bsd-3-clause "
    "bsd-3-clause-clear cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 pddl odc-by etalab-2.0 c-uda "
    "cdla-permissive-1.0 cdla-permissive-2.0"
)
COPYLEFT = (
    "gpl gpl-2.0 gpl-3.0 agpl-3.0 lgpl lgpl-2.1 lgpl-3.0 lgpl-lr gfdl mpl-2.0 epl-1.0 epl-2.0 eupl-1.1 eupl-1.2 "
    "osl-3.0 odbl cdla-sharing-1.0"
)
CREATIVE_COMMONS = (
    "cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 "
    "cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0"
)
PARTS = {"nc": NON_COMMERCIAL, "sa": SHARE_ALIKE, "nd": NO_DERIVATIVES}  # of a Creative Commons identifier
_LLAMA = "the published name must begin with 'Llama' and the card must say 'Built with Llama'"
_PHYSIONET = "https://physionet.org/about/licenses/"

TERMS: Mapping[str, Terms] = {
    **{id: Terms() for id in PERMISSIVE.split()},
    **{id: Terms((SHARE_ALIKE,)) for id in COPYLEFT.split()},
    **{id: Terms(tuple(PARTS[part] for part in id.split("-") if part in PARTS)) for id in CREATIVE_COMMONS.split()},
    **{id: Terms((USE_POLICY,), note=_LLAMA) for id in ("llama3", "llama3.1", "llama3.2", "llama3.3", "llama4")},
    **{id: Terms((USE_POLICY,)) for id in ("llama2", "gemma", "openrail", "openrail++", "bigscience-openrail-m")},
    # not on the Hub's list: published as `license: other` with these names and links
    "public-domain": Terms(link="https://creativecommons.org/publicdomain/mark/1.0/"),
    "health-ai-developer-foundations": Terms(
        (USE_POLICY,), link="https://developers.google.com/health-ai-developer-foundations/terms"
    ),
    "qwen-research": Terms((NON_COMMERCIAL,), link="https://huggingface.co/Qwen/Qwen2.5-3B-Instruct/blob/main/LICENSE"),
    "physionet-credentialed-health-data": Terms((DATA_USE_AGREEMENT,), link=_PHYSIONET),
    "physionet-restricted-health-data": Terms((DATA_USE_AGREEMENT,), link=_PHYSIONET),
    "n2c2-data-use-agreement": Terms((DATA_USE_AGREEMENT,), link="https://n2c2.dbmi.hms.harvard.edu"),
    "umls": Terms(
        (DATA_USE_AGREEMENT,),
        link="https://www.nlm.nih.gov/research/umls/knowledge_sources/metathesaurus/release/license_agreement.html",
    ),
}

ABSORBS: Mapping[str, frozenset[str]] = {
    "cc-by-nc-4.0": frozenset({"cc-by-nc-2.0", "cc-by-nc-3.0"}),
    "cc-by-nc-sa-4.0": frozenset({"cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-sa-3.0"}),
    "cc-by-sa-4.0": frozenset({"cc-by-sa-3.0"}),
    "gpl-3.0": frozenset({"cc-by-sa-4.0", "lgpl-2.1", "lgpl-3.0", "mpl-2.0"}),
    "agpl-3.0": frozenset({"gpl-3.0", "lgpl-3.0"}),
}
"""A whole under the first may hold parts under the others (https://creativecommons.org/compatiblelicenses)."""


def effective(base_license: str | None, corpora: Mapping[str, str | None]) -> License:
    """The licence that satisfies the base model's and those of all corpora (name -> licence), as strict as they are."""
    base = "the base model"
    return _effective({base: base_license, **_named(corpora)}, (base,))


def of_dataset(corpora: Mapping[str, str | None]) -> License:
    """The licence of a dataset made of these corpora (name -> licence)."""
    named = _named(corpora)
    return _effective(named, tuple(named))


def _named(corpora: Mapping[str, str | None]) -> dict[str, str | None]:
    return {f"corpus '{name}'": stated for name, stated in corpora.items()}


def _effective(sources: Mapping[str, str | None], permissive: tuple[str, ...]) -> License:
    """`permissive` are those whose licence the whole carries where nothing stricter binds it."""
    stated = {who: (license or "").strip().lower() for who, license in sources.items()}
    reasons = [_reason(f"{who[0].upper()}{who[1:]}", id) for who, id in stated.items()]
    flags = [flag for id in stated.values() for flag in (TERMS[id].flags if id in TERMS else (UNKNOWN,))]
    if UNKNOWN in flags:
        return _license("unknown", flags, reasons)
    binding = list(dict.fromkeys(id for id in stated.values() if TERMS[id].flags))
    whole = binding or list(dict.fromkeys(stated[who] for who in permissive))
    for id in whole:
        if set(whole) - {id} <= ABSORBS.get(id, frozenset()):
            return _license(id, flags, reasons)
    if SHARE_ALIKE in flags:
        reasons.append(
            f"Together {' and '.join(whole)} cannot be satisfied at once, since share-alike admits no other terms"
        )
        flags.append(CONFLICT)
    return _license("-and-".join(whole), flags, reasons)


def _reason(who: str, id: str) -> str:
    if id in ("", "-", "other", "unknown"):
        return f"{who} states no licence that can be read here: find out, and write it into its record"
    if id not in TERMS:
        return f"{who} states '{id}', which is not in the table of licences{nearest(id, list(TERMS))} mend its record"
    asks = [MEANING[flag] for flag in TERMS[id].flags]
    asks += [TERMS[id].note] if TERMS[id].note else []
    return f"{who} is under {id}" + (": " + "; ".join(asks) if asks else ", which is permissive")


NOT_ON_THE_HUB = frozenset(id for id, terms in TERMS.items() if terms.link)


def _license(id: str, flags: list[str], reasons: list[str]) -> License:
    distinct = tuple(dict.fromkeys(flags))
    if id in TERMS and id not in NOT_ON_THE_HUB:
        return License(id, flags=distinct, reasons=tuple(reasons))
    link = TERMS[id].link if id in TERMS else None
    return License("other", id, link, distinct, tuple(reasons))
