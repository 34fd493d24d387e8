"""Places smaller than a state: street addresses of several countries, post codes, towns, counties."""

# ruff: noqa: E501, SIM905 - lists of words and patterns are data: broken over more lines they are harder to check

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from medslm.data.gates.phi import lexicon
from medslm.data.gates.phi.kinds import Found, Page

STATES = (
    "AL|AK|AZ|AR|CA|CO|CT|DE|DC|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|NY|NC|ND|OH|OK|OR|PA|"
    "RI|SC|SD|TN|TX|UT|VT|VA|WA|WV|WI|WY|PR|GU|VI|AS|AA|AE|AP|AB|BC|MB|NB|NL|NS|ON|PE|QC|SK|NSW|QLD|VIC|TAS|ACT|NT"
)
STREET_WORDS = (
    "Street|St|Avenue|Ave|Road|Rd|Drive|Dr|Lane|Ln|Boulevard|Blvd|Court|Ct|Place|Pl|Square|Sq|Terrace|Ter|Way|Circle|Cir|"
    "Parkway|Pkwy|Highway|Hwy|Crescent|Cres|Close|Row|Mews|Gardens|Gdns|Alley|Trail|Trl|Loop|Path|Pike|Turnpike|Plaza|Walk|"
    "Grove|Hill|Rise|Quay|Wharf|Parade|Esplanade|Freeway|Expressway|Causeway|Run|Bend|Cove|Ridge|View|Heights|Green|Park|"
    "Parks|Streets|Avenues|Roads|Drives|Lanes|Courts|Places|Squares|Ways|Circles|Crossing|Crossroad|Junction|Manor|Meadow|"
    "Meadows|Orchard|Pass|Passage|Point|Spur|Station|Track|Vale|Valley|Village|Ville|Vista|Well|Wells|Bypass|Camp|Estates?|"
    "Extension|Falls|Ferry|Fields?|Flats?|Ford|Forest|Forge|Fork|Gateway|Glen|Harbor|Haven|Hollow|Inlet|Island|Isle|Key|"
    "Knolls?|Lake|Landing|Lodge|Mall|Mill|Mission|Mount|Mountain|Neck|Oval|Overpass|Pine|Plain|Port|Prairie|Ramp|Ranch|"
    "Rapids?|Rest|River|Shoals?|Shores?|Springs?|Stravenue|Stream|Summit|Throughway|Trace|Trafficway|Tunnel|Underpass|Union|"
    "Viaduct|Broadway"
)
STREET_ENDINGS = (  # one word with the name of the street: Bergmannstraße, Koskikatu, Stensåsvegen
    "straße|strasse|straat|gasse|allee|platz|weg|ring|damm|ufer|gatan|gata|vägen|vegen|veien|vej|gade|katu|tie|polku|kuja|"
    "laan|plein|dijk|kade|singel|gracht|steeg|utca|ulica|terrasse|stræde|allé|bakken|haugen|toppen|vollen"
)
STREET_OPENERS = (  # and one before it: Rue de Rivoli, Via Roma
    "Rue|Avenue|Boulevard|Place|Chemin|Route|Impasse|Allée|Quai|Cours|Via|Viale|Piazza|Corso|Largo|Vicolo|Strada|Contrada|Calle|"
    "Avenida|Av|Paseo|Plaza|Carrer|Camino|Ronda|Cuesta|Rua|Travessa|Praça|Estrada|Rúa|Ctra|C/|Ul|Ulica|Aleja|Al|Plac|Os|"
    "Am|An der|Auf der|Im|Zum|Zur|Postbus|Postbox"
)
STREET_TRAILERS = "utca|út|útja|u|tér|körút|köz|sor|ulica|cesta|trg|sokak|caddesi|gate|gata|vei|veg|gade|vej|plads|Street|St|Ave|terrasse|terrace|kapu"

_UP = r"[A-ZÀ-ÖØ-ÞĀ-ŽΆ-ΏΑ-ΩА-Я]"
_CAP = rf"{_UP}[^\W\d_]*\.?(?:['’\-][^\W\d_]+)*"
_LINK = r"(?:van|von|der|den|de|del|della|di|da|do|dos|das|du|des|la|le|les|el|los|las|of|the|and|y|e|i|na|nad|pod|ob|am|an|upon|under|im|d'|l')"
_GAP = r"(?:[ \t]+|[ \t]*\n[ \t]*)"
_SEP = r"(?:\.?(?=[ \t\n,]+(?:Apt|Suite|Unit))(?:[ \t,]*\n?[ \t]*)|[ \t]*,[ \t]*\n?[ \t]*(?:,[ \t]*)?|[ \t]*\n[>?|* \t]*(?:\n[>?|* \t]*)?(?:,[ \t]*)?|[ \t]+)"
_UNIT = r"(?:(?:Apt|Apartment|Suite|Ste|Unit|Room|Rm|Floor|Fl|Flat|Bldg|Building|Block|Lot|Plot|Level|Box|No|House|Trailer|Spc|Space)\b\.?|#)[ \t]*#?[ \t]*(?:No\.? ?)?[A-Z]?\d*[A-Z]?-?\d*\b"
_NUMBER = r"(?:No\.? ?)?\d{1,6}(?:[-/]\d{1,4})?[ ]?[A-Za-z]?(?![\w%])"
_UK = r"[A-Z]{1,2}\d[A-Z\d]?[ ]\d[ABD-HJLNP-UW-Z]{2}"
_CANADA = r"(?!T[0-4]N[0-3]M[01])[ABCEGHJ-NPRSTVXY]\d[A-Z][ -]?\d[A-Z]\d"  # but T2N1M0 is the stage of a tumour
_DUTCH = r"\d{4}[ ]?[A-Z]{2}"
_ZIP = rf"(?:(?:[A-Z]{{1,2}}-)?\d{{4,6}}(?:-\d{{3,4}})?|\d\d-\d{{3}}|\d{{3}}[ ]\d{{2}}|{_UK}|{_CANADA}|{_DUTCH})(?![\w%]|[.,/]\d)"
_NAMED = rf"{_CAP}(?:[ \t]+(?:{_LINK}[ \t]+){{0,2}}{_CAP}|[ \t]+\d{{1,3}}(?:st|nd|rd|th)){{0,4}}?"
_ORDINAL = r"\d{1,3}(?:st|nd|rd|th)"
_STREET_NUMBERED = (
    rf"(?:{_NAMED}[ \t]+(?i:{STREET_TRAILERS})\b\.?[ \t]+{_NUMBER}"
    rf"|(?:{_CAP}[ \t]+){{0,2}}{_UP}[^\W\d_]+(?i:{STREET_ENDINGS})\b[ \t]+{_NUMBER}"
    rf"|(?:{STREET_OPENERS})\b\.?[ \t]+(?:(?:{_LINK})[ \t']*){{0,3}}{_CAP}(?:[ \t]+(?:{_LINK}[ \t]+){{0,2}}{_CAP}){{0,3}}(?:,?[ \t]+(?:n[º°.]? ?)?{_NUMBER})?)"
)
_UNIT_WORDS = "apt apartment suite ste unit flat plot lot block house"
_ROADS = "interstate route highway hwy i us motorway"
_BOXES = "box postbox bag postfach apartado psc cmr"
_ANY = ""  # no word: only the digits decide


def _core(words: str, digits: int, weight: float, pattern: str) -> tuple[frozenset[str], int, float, re.Pattern[str]]:
    return frozenset(words.lower().split()), digits, weight, re.compile(pattern)


_STREETS = STREET_WORDS.replace("|", " ")
_ABROAD = f"{STREET_OPENERS} {STREET_TRAILERS}".replace("|", " ")
_CORES = (  # words of which one must be there, digits, weight, pattern
    _core(_STREETS, 1, 0.9, rf"\b{_NUMBER}[ \t]+(?:{_NUMBER}[ \t]+)?(?:[NSEW]{{1,2}}\.?[ \t]+)?(?:{_NAMED}|{_ORDINAL})[ \t]+(?:{STREET_WORDS})\b\.?(?:[ \t]+[NSEW]{{1,2}}\b)?"),
    _core(_ABROAD + " *", 1, 0.9, rf"\b(?:{_NUMBER}[ \t]+)?{_STREET_NUMBERED}"),
    _core(_ABROAD, 1, 0.85, rf"\b(?:{_NUMBER}[ \t]+){{1,2}}(?i:{STREET_OPENERS})\b\.?[ \t]+(?:{_LINK}[ \t]+){{0,3}}{_NAMED}(?:[ \t]+\d+)?"),
    _core("*", 1, 0.85, rf"\b{_NUMBER}[ \t]+{_UP}[^\W\d_]+(?i:{STREET_ENDINGS})\b"),
    _core(_UNIT_WORDS, 2, 0.8, rf"\b(?:\d{{1,6}}[ \t]+){{0,2}}{_CAP}(?:[ \t]+{_CAP}){{0,3}}[ \t]+(?:\d{{1,5}}[A-Za-z]?\.?[ \t]*,?[ \t]*\n?[ \t]*)?(?i:Apt|Suite|Unit|Flat)\.?[ \t]+\d+"),
    _core(_UNIT_WORDS, 1, 0.6, r"\b(?:Apt|Apartment|Suite|Ste)\b\.?[ ]#?\d+[A-Z]?\b"),
    _core(_BOXES, 1, 0.9, r"\b(?i:p\.?[ ]?o\.?[ ]?box|post ?box|gpo box|locked bag|postfach|apartado)[ \t]+[A-Z]?\d+"),
    _core("apo fpo dpo", 2, 0.9, r"\b(?:PSC|Unit|CMR|USS|USNS|USNV|USCGC)[ \t]+(?:\d+|[A-Z][^\W\d_]+)(?:,?[ \t]+Box[ \t]+\d+)?(?=[ \t]*[,\n]?[ \t]*(?:[AFD]PO))"),
    _core("apo fpo dpo", 5, 0.8, rf"\b[AFD]PO,?[ ](?:AA|AE|AP)[ ]{_ZIP}"),
    _core(_UNIT_WORDS, 1, 0.6, rf"\b(?:Plot|Lot|Flat|Apt|Block|Unit|House)\.?[ \t]+\d+[A-Z]?,[ \t]*(?:\d+[ \t]+)?{_NAMED}[ \t]+(?:{STREET_WORDS})\b\.?"),
    _core("street avenue road lane boulevard blvd highway parkway terrace crescent", 0, 0.8, rf"\b(?:{_CAP}[ \t]+){{1,3}}(?:Street|Avenue|Road|Lane|Boulevard|Blvd|Highway|Parkway|Terrace|Crescent)\b(?:[ \t]+in[ \t]+{_CAP})?"),
    _core(_ROADS, 1, 0.8, r"\b(?:Interstate|Route|Highway|Hwy|I-|US-|State Route|Motorway)[ -]?\d{1,3}\b(?:[ ]+near[ ]+[A-Z]\w+(?:[ ][A-Z]\w+)*)?"),
    _core("corner", 0, 0.85, rf"(?i:\b(?:the )?corner of )(?:[^\W_][\w./'’\-]*[ \t]+){{1,6}}(?:and|&)[ \t]+{_CAP}(?:[ \t]+{_CAP}){{0,3}}(?:[ \t]+\d+\b)?"),
    _core(_ANY, 4, 0.9, rf"\b{_CAP}(?:[ ]{_CAP}){{0,3}},?[ \t]+(?:{STATES})\b\.?,?[ \t]+{_ZIP}"),
    _core(_ANY, 5, 0.8, rf"\b{_CAP}(?:[ ]{_CAP}){{0,3}}[ \t]*,[ \t]*(?:[A-Z]{{2}}|\d\d)[ \t]+\d{{5}}\b"),
    _core(_ANY, 3, 0.6, rf"\b\d{{1,6}}[ \t]+{_CAP}(?:[ \t]+{_CAP}){{0,3}}[ \t]+\d{{1,5}}\.?(?=[ \t]*[,\n][ \t]*{_UP})"),
    _core(_ANY, 2, 0.9, rf"\b(?:{_UK}|{_CANADA})\b"),
    _core(_ANY, 4, 0.7, rf"(?<=\b(?:in|at|to) )(?<!\bin in ){_CAP}(?:[ ](?:{_LINK}[ ])?{_CAP}){{0,3}}[ ](?!(?:19|20)\d\d\b)(?:\d{{4,5}}(?:-\d{{3}})?|\d{{3}}[ ]\d\d|{_DUTCH})\b(?![ ]?(?:%|patients|mg|m\b|people))"),
)  # fmt: skip
_TAIL = re.compile(
    rf"(?:{_SEP}(?:{_UNIT}|(?:APO|FPO|DPO)\b|(?:{STATES})\b(?!:)|nan\b|{_ZIP}|{_CAP}(?:[ \t]+(?:{_LINK}[ \t]+){{0,2}}{_CAP}){{0,3}}(?:[ ]\([^()\n]{{3,20}}\))?(?!\w*:)|[A-Z]{{2}}\b|\d{{1,3}}(?=\s*(?:\n|\Z))))"
)
_ANCHOR = re.compile(rf"(?:\d|\b(?:{STATES})\b|\b(?:APO|FPO|DPO)\b|\bnan\b|\b[A-Z]{{2}}\b)")
_ZIP_LABEL = re.compile(
    r"(?i)\b(?:zip(?:[ -]?code)?|post(?:al)?[ -]?code|postcode|plz|eircode)s?\b[ \t]*(?:is|was|[:#=]|of|area)*[ \t]*([A-Z]{0,2}-?\d[\dA-Z]*(?:[- ]?\d[\dA-Z]*)*(?-i:[ ]?[A-Z]{2}\b)?)"
)
_ZIP_WORDS = frozenset("zip zipcode postal post postcode plz eircode zips".split())
_ZIP_BESIDE = re.compile(rf"\b(?:{STATES})[ ,]+(\d{{5}}(?:-\d{{4}})?)\b|\b([A-Z]{{1,2}}-\d{{4,5}})[ ](?={_UP})")
_STATE_CODES = frozenset(STATES.split("|"))
_COUNTY = re.compile(rf"\b((?:{_CAP}[ ]){{1,2}})(?:County|Township|Parish|Borough|Shire|Province|District)\b")
_COUNTY_LABEL = re.compile(rf"(?i:\bcounty of(?: residence)?[ :]+)({_CAP}(?: {_CAP})?)")
_COUNTIES = frozenset("county township parish borough shire province district".split())
_STATED = re.compile(rf"\b({_CAP}(?:[ ]{_CAP}){{0,2}}),[ ]+(?:{STATES})\b(?![ ]?[:/\d])")
_LABEL = re.compile(
    r"(?i:\b(?:address|residence|anschrift|adresse|addr)(?:es)?(?: is|(?:, here they are)?[ \t]*:|,)[ \t]*\n?[ \t]*)"
    rf"((?:\d+[ \t]+)*{_CAP}(?:[ \t]+(?:{_LINK}[ \t]+){{0,2}}(?:{_CAP}|\d+\b))*|\d+(?:[ \t]+{_CAP})+)"
)
_LABEL_WORDS = frozenset("address addresses residence anschrift adresse addr".split())
_NO_DOSE = r"(?![ ]?(?:mg|mcg|g\b|ml|units?|tablets?|caps|times|days?|weeks?|months?|years?|hours?|daily|%))"
_DWELLS = re.compile(
    r"(?:(?i:\b(?:lives?|living|lived|reside[sd]?|residing|located|stay(?:s|ing)?|meet(?: me| you)?|side of|stops?|delivered|return|sent|"
    r"ship(?:ped)?|move[sd]?|moving|off|enter)[ ]+(?:(?:at|on|to|in|near)[ ]+)?(?:the )?)"
    rf"((?:\d+[ \t]+)+{_CAP}(?:[ \t]+(?:{_LINK}[ \t]+){{0,2}}(?:{_CAP}|\d+\b))+|{_CAP}(?:[ \t]+(?:{_LINK}[ \t]+){{0,2}}{_CAP})*[ \t]+\d+[a-z]?\b{_NO_DOSE})"
    rf"|\b(?:is|it['’]s)[ ](?:at|on|in)[ ]((?:\d+[ \t]+)*{_CAP}(?:[ \t]+(?:{_LINK}[ \t]+){{0,2}}{_CAP})+[ \t]+\d+[a-z]?\b{_NO_DOSE}))"
)
_DWELL_WORDS = frozenset(
    """is on station live lives living lived reside resides residing resided located stay stays staying meet side stop stops it delivered return
    sent ship shipped move moved moving moves off enter""".split()
)
_CITY = re.compile(
    rf"(?:\b(?:home ?town|home city|city of|town of|village of|suburb of|grew up in|lives? in|lived in|I am in|I['’]m in|born in|raised in|based in|arrived at|(?:flew|went|trip|moved|travel(?:l?ing|l?ed)?) to|Where:)[ ]+)"
    rf"({_CAP}(?:[ ]{_CAP}){{0,2}})"
)
_CITY_WORDS = frozenset(
    "town hometown home city village suburb grew live lives lived i born raised based arrived flew went trip moved travel traveling travelling traveled travelled where".split()
)


@cache
def _towns() -> re.Pattern[str]:
    return re.compile(
        rf"(?<![\w-])(?=[A-ZÀ-Þ])(?:{lexicon.alternatives('towns')})(?![\w-]|['’]?s?[ ](?i:disease|syndrome|sign|coma|outcome|criteria|classification|score|virus|grad(?:e|ing)))"
    )


@cache
def _town_words() -> frozenset[str]:
    return frozenset(re.split(r"\W", town)[0] for town in lexicon.places("towns"))


def find(page: Page) -> Iterator[Found]:
    """Every address, post code, town and county."""
    for type_, start, end, weight in _find(page):
        yield Found(type_, start, end - (page.text[end - 1] == "."), weight)


def _find(page: Page) -> Iterator[Found]:
    text = page.text
    abroad = page.digits and any(word.endswith(_ENDINGS) for word in page.words)
    for words, digits, weight, pattern in _CORES:
        if page.digits >= digits and (not words or page.has(words) or ("*" in words and abroad)):
            for match in pattern.finditer(text):
                if _is_place(match[0]):
                    yield Found("LOCATION", match.start(), _with_tail(text, match.end()), weight)
    if page.digits:
        yield from _labelled(page)
    yield from _named(page)


_ENDINGS = tuple(STREET_ENDINGS.split("|"))


def is_addressed(page: Page) -> bool:
    """True if a short text speaks of an address and has its numbers."""
    told = page.has(_LABEL_WORDS) or page.has(_ZIP_WORDS) or page.has(_DWELL_WORDS - {"is", "it", "on"})
    return told and page.digits > 2 and len(page.text) < 500


def _labelled(page: Page) -> Iterator[Found]:
    text = page.text
    if page.has(_ZIP_WORDS):
        for match in _ZIP_LABEL.finditer(text):
            yield Found("LOCATION", *match.span(1), 0.96)
    if page.digits >= 4:
        for match in _ZIP_BESIDE.finditer(text):
            yield Found("LOCATION", *match.span(match.lastindex or 0), 0.8)
    for words, pattern in ((_LABEL_WORDS, _LABEL), (_DWELL_WORDS, _DWELLS)):
        if page.has(words):
            for match in pattern.finditer(text):
                start, end = match.span(match.lastindex or 0)
                place = text[start:end]
                if any(map(str.isdigit, place)) and _is_place(place) and not _DATED.search(place):
                    yield Found("LOCATION", start, _with_tail(text, end), 0.85)


_DATED = re.compile(r"(?i)\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b|\b(?:19|20)\d\d$")


def _named(page: Page) -> Iterator[Found]:
    text = page.text
    if page.has(_COUNTIES):
        for pattern in (_COUNTY, _COUNTY_LABEL):
            for match in pattern.finditer(text):
                if _is_town(match[1]):
                    yield Found("LOCATION", *match.span(), 0.75)
    if not page.tokens.isdisjoint(_STATE_CODES):
        for match in _STATED.finditer(text):
            if _is_town(match[1]):
                yield Found("LOCATION", *match.span(1), 0.75)
    if page.has(_CITY_WORDS):
        for match in _CITY.finditer(text):
            if _is_town(match[1]):
                yield Found("LOCATION", *match.span(1), 0.5)
    if page.has(_town_words()):
        for match in _towns().finditer(text):
            yield Found("LOCATION", *match.span(), 0.55)


def _is_town(words: str) -> bool:
    last = words.split()[-1].lower()
    return (
        not any(map(lexicon.english, last.split("-")))
        and words.strip().lower() not in lexicon.places("wide")
        and last not in _NO_TOWN
    )


_NO_TOWN = frozenset("icu pacu micu sicu nicu picu ccu er ed or md rn do pa np".split())


def _is_place(words: str) -> bool:
    """False where a road's word is another's: `Mild Way`, `Foley Station`; a number or a name must show it."""
    names = re.findall(r"[^\W\d_]{2,}", words)
    unknown = [word for word in names if not lexicon.english(word.lower())]
    return (
        bool(unknown) or any(sign.isdigit() for sign in words) or names[-1] in ("Street", "Avenue", "Road", "Boulevard")
    )


def _with_tail(text: str, end: int) -> int:
    """Where an address ends that began before `end`: units, towns, states and codes that follow belong to it."""
    last, at, coded = end, end, False
    for count in range(8):
        match = _TAIL.match(text, at)
        if not match or re.match(r"\w*[ \t]*:", text[match.end() : match.end() + 12]):
            break
        words = match[0].strip(" \t\n,.")
        town = count < 3 and "\n" not in match[0].rstrip() and match[0].lstrip(" \t").startswith(",")
        town = town or (coded and "\n" not in match[0])  # 10969 Berlin
        coded = bool(re.fullmatch(_ZIP, words))
        if town or _ANCHOR.search(words) or _ends_in_place(words):
            last = match.end()
        at = match.end()
    return last


def _ends_in_place(words: str) -> bool:
    parts = words.lower().split("(")[0].split()
    wide, towns = lexicon.places("wide"), lexicon.places("towns")
    return any((last := " ".join(parts[at:])) in wide or last in towns for at in range(len(parts)))
