"""Identifiers made of digits and signs: by their shape and checksum, or by the word that stands before them."""

# ruff: noqa: E501 - lists of words and patterns are data: broken over more lines they are harder to check

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from medslm.data.gates.phi.kinds import Found, Page


def luhn(text: str) -> bool:
    """True if the digits of a card number, 12 to 19 of them, end in the right check digit (ISO/IEC 7812-1)."""
    digits = [int(sign) for sign in text if sign.isdecimal()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return 12 <= len(digits) <= 19 and any(digits) and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def iban(text: str) -> bool:
    """True if a bank account number leaves 1 modulo 97 (ISO 13616)."""
    plain = re.sub(r"\W", "", text).upper()
    return 15 <= len(plain) <= 34 and int("".join(str(int(sign, 36)) for sign in plain[4:] + plain[:4])) % 97 == 1


def nhs(text: str) -> bool:
    """True for ten digits whose last is their check digit modulo 11 (NHS number, England and Wales)."""
    digits = [int(sign) for sign in text if sign.isdecimal()]
    return (11 - sum(digit * (10 - place) for place, digit in enumerate(digits[:9])) % 11) % 11 == digits[9]


def vin(text: str) -> bool:
    """True for 17 signs of a vehicle whose ninth is their check digit (49 CFR 565.15)."""
    values = {**{str(n): n for n in range(10)}, **dict(zip("ABCDEFGH", range(1, 9)))}
    values |= {**dict(zip("JKLMN", range(1, 6))), "P": 7, "R": 9, **dict(zip("STUVWXYZ", range(2, 10)))}
    weights = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
    rest = sum(values[sign] * weight for sign, weight in zip(text.upper(), weights)) % 11
    return "0123456789X"[rest] == text[8].upper()


class Shape(NamedTuple):
    """A recogniser: what it finds, the sign that any such text holds, its pattern, and a check of the digits."""

    type: str
    sign: str
    """Texts without this sign are not searched; `0` stands for any digit."""
    digits: int
    """Nor are texts with fewer digits."""
    pattern: re.Pattern[str]
    weight: float
    check: Callable[[str], bool] | None = None


def _shape(
    type_: str, sign: str, digits: int, pattern: str, weight: float, check: Callable[[str], bool] | None = None
) -> Shape:
    return Shape(type_, sign, digits, re.compile(pattern), weight, check)


_TLD = r"(?:com|org|net|edu|gov|mil|int|info|biz|io|ai|app|dev|health|care|nhs|me|tv|co|us|uk|ca|au|nz|ie|de|at|ch|fr|es|pt|it|nl|be|lu|dk|se|no|fi|is|pl|cz|sk|hu|ro|bg|gr|si|hr|rs|ru|ua|tr|il|in|jp|cn|kr|br|mx|ar|cl|za|ng|ke|eu|example|test|invalid|local)"
_PLAIN = r"(?<![\w.,+/$€£%-])"  # where a number begins that is no part of another
_END = r"(?![\w%]|[.,/-]\d)"

SHAPES = (
    _shape("EMAIL", "@", 0, r"[\w.!#$%&'*+=?^`{|}~-]+@(?:[\w-]+\.)+[^\W\d_][\w-]+", 0.99),
    _shape("EMAIL", "@", 0, r"[\w.+-]+ ?@ ?[\w-]+(?: ?\. ?[\w-]+)* ?\. ?" + _TLD + r"\b", 0.98),
    _shape("URL", "://", 0, r"\b(?:https?|ftp|sftp|file|rtsp|ldap)://[^\s<>\"')\]]*[^\s<>\"')\].,;:!?]", 0.97),
    _shape("URL", ".", 0, r"(?i:\bwww\d?\.)[\w-]+(?:\.[\w-]+)+(?:/[^\s<>\"')\]]*[\w/])?", 0.97),
    _shape("URL", ".", 0, r"(?<![@\w.-])(?:[a-zA-Z0-9][\w-]*\.)+" + _TLD + r"(?:/[^\s<>\"')\]]*[\w/=])?(?![\w@-]|\.\w)", 0.9),
    _shape("IP", ".", 4, r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:/\d\d?)?(?!\.?\d)", 0.95),
    _shape("IP", ":", 1, r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}(?![\w:])", 0.95),
    _shape("IP", "::", 1, r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){0,6})?::(?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){0,6})(?![\w:])", 0.95),
    _shape("DEVICE", ":", 2, r"(?<![\w:])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![\w:-])", 0.95),
    _shape("DEVICE", "(01)", 6, r"\(01\)\d{14}(?:\(\d\d\d?\)[\w./-]+)*", 0.99),
    _shape("SSN", "-", 9, r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])", 0.96),
    _shape("ACCOUNT", "0", 12, _PLAIN + r"\d(?:[ -]?\d){11,18}" + _END, 0.94, luhn),
    _shape("ACCOUNT", "0", 12, r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", 0.95, iban),
    _shape("HEALTH_PLAN", "0", 5, r"\b[1-9][AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9]\d-?[AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9]\d-?[AC-HJKMNP-RT-Y]{2}\d\d\b", 0.95),
    _shape("HEALTH_PLAN", "0", 5, _PLAIN + r"\d{3} \d{3} \d{4}" + _END, 0.9, nhs),
    _shape("VEHICLE", "0", 3, r"\b(?=[A-HJ-NPR-Z]*\d)[A-HJ-NPR-Z0-9]{17}\b", 0.95, vin),
    _shape("ID", "-", 1, r"(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", 0.95),
    _shape("ID", "0", 5, _PLAIN + r"\d{8,}" + _END, 0.4),
    _shape("ID", "#", 5, r"(?<=#)\d{5,}\b", 0.4),
    _shape("ID", "-", 5, r"\b[A-Z]{1,3}\d{0,2}-\d{2,4}-\d{4,}\b", 0.4),  # pathology: S-23-004518
    _shape("ID", "0", 5, r"\b(?=[A-Z]*\d)(?=\d*[A-Z])[A-Z0-9]{2,}(?:-\d+)*\d{5,}(?:-\d+)*\b", 0.4),
    _shape("PHOTO", ".", 1, r"(?i)\b[\w-]*\d[\w-]*\.(?:jpe?g|png|heic|tiff?|bmp|gif|dcm|mp4|mov|avi)\b", 0.96),
    _shape("PHONE", "+", 7, r"(?<![\w+])\+\d{1,3}(?:[ .\-]?\(?\d{1,5}\)?){2,6}(?![\w-])", 0.9),
    _shape("PHONE", "0", 7, r"(?<![\w.+-])(?:(?:\+?1|001)[ .-]?)?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}(?:,? ?(?:x|ext\.?|extension) ?\d{1,6})?(?![\w-]|\.\d)", 0.9),
    _shape("PHONE", "(", 7, r"\(0?\d{1,5}\) ?\d{2,5}(?:[ .-]?\d{2,5}){1,3}(?![\w-])", 0.8),
    _shape("PHONE", "0", 7, r"(?<![\w.,/+-])0\d{1,4}[ .-]\d{2,4}(?:[ .-]\d{2,5}){1,3}(?![\w-]|\.\d)", 0.7),
    _shape("PHONE", "0", 7, r"(?<![\w.,/+-])\d\d(?:([ .-])\d\d)(?:\1\d\d){2,3}(?![\w-]|[.]\d)", 0.6),
    _shape("PHONE", "-", 7, r"(?<![\w.,/+-])[2-9]\d\d-\d{4}(?![\w-]|\.\d|[ ]?(?:%|[munpkµ]?c?[gLlU]\b|IU|IE|units?|[mnpµ]?mol|mEq|kcal|mm|cells|copies|per\b|×))", 0.5),
)  # fmt: skip

_LABELS: dict[str, tuple[str, str, float]] = {
    # type: words of which a text must hold one, the label, its weight
    "SSN": ("social ssn soc national ni tax taxpayer", r"(?:social security|ssn|soc\.? sec\.?|national insurance|ni (?=n)|tax(?:payer)? (?:id|file))", 0.97),
    "MRN": ("mrn medical med patient pt chart hospital unit ur nhi chi mr hosp k knumber record", r"(?:mrn|medical rec(?:ord)?s?|med\.? rec\.?|patient (?:id|identifier|number|no)|pt\.? id|chart|hospital (?:id|number|no)|unit (?:record|number|no)|ur(?= ?(?:no|num|#|:|\d))|nhi|chi (?=n)|mr(?= ?#|n)|hosp\.? no|k-?number|record (?=n|id|#))", 0.97),
    "HEALTH_PLAN": ("member subscriber beneficiary policy insurance insured health healthplan group medicare medicaid mbi hicn nhs ihi dva payer plan healthcard ohip aetna cigna humana anthem blue bluecross blueshield kaiser tricare", r"(?:member|subscriber|beneficiary|policy|insurance|insured|health ?plan|group (?:id|number|no|#)|medicare|medicaid|mbi|hicn|nhs|ihi|dva|payer|plan (?=id|n)|health ?card|ohip|aetna|cigna|humana|anthem|blue ?(?:cross|shield)|kaiser|tricare)", 0.97),
    "ACCOUNT": ("account accounts acct a card creditcard debit credit visa mastercard amex iban swift bic routing sort sortcode invoice billing guarantor", r"(?:accounts?|acct|a/c|card|credit ?card|debit|visa|mastercard|amex|iban|swift|bic|routing|sort ?code|invoice|billing (?:id|number|no)|guarantor)", 0.95),
    "LICENSE": ("driver drivers driving license licence lic dl d dea npi upin certificate cert passport gmc nmc ahpra provider permit badge registration", r"(?:driv(?:er|ing)(?:'?s|’s)? ?(?:licen[cs]e|lic)|licen[cs]e|lic\.?(?= ?(?:no|#|num))|licence|dl(?= ?(?:#|no|num|:))|dea|npi|upin|certificate|cert\.?(?= ?(?:no|#|num))|passport|gmc|nmc|ahpra|provider (?:id|number|no)|permit|badge|registration)", 0.97),
    "VEHICLE": ("license licence number plate plates vehicle vin tag reg rego", r"(?:licen[cs]e plates?|number plates?|plates?(?= ?(?:n|#|:|[A-Z0-9]{2,}\d))|vehicle (?:id|identification|reg\w*)|vin|tag (?=n|#)|rego?(?= ?(?:no|#|:|plate)))", 0.98),
    "DEVICE": ("serial s sn udi device lot model implant imei mac pacemaker ref", r"(?:serial|s/n|sn(?= ?[:#])|udi|device (?:id|identifier|number|no)|lot(?= ?(?:n|#|:))|model (?:no|number|#)|implant (?:id|number|no)|imei|mac (?=addr)|pacemaker (?=id|n|s)|ref(?= ?#))", 0.97),
    "BIOMETRIC": ("finger fingerprint fingerprints voice voiceprint voiceprints retina retinal iris palm palmprint face faceid faceprint biometric", r"(?:finger ?prints?|voice ?prints?|retinal? scan|iris scan|palm ?print|face ?(?:id|print)|biometric)(?: (?:template|hash|record|file|scan|data))?", 0.97),
    "ID": ("accession case specimen sample encounter visit csn episode claim ref reference study subject participant employee student user userid job order ticket tracking confirmation requisition request prescription rx donor trial report file booking barcode receipt docket warrant id", r"(?:accession|case|specimen|sample|encounter|visit (?=id|n|#)|csn|episode|claim|ref(?:erence)?|study (?=id|n|#)|subject (?=id|n|#)|participant|employee|student|user ?(?=id)|job|order|ticket|tracking|confirmation|requisition|request (?=id|n|#)|prescription|rx(?= ?(?:n|#))|donor|trial (?=id)|report (?=id|n|#)|file (?=n|#)|booking|barcode|receipt|docket|warrant|id)", 0.9),
}  # fmt: skip
_FILLER = r"(?:'?s)?(?:[ \t]*(?:numbers?|num|nbr|nr|no|id|identifier|identification|code|is|was|were|are|of|the|ending(?: in)?|with|card|=|[:#.)(\[\"\-–|]))*[ \t]*"
_VALUE = (
    r"((?:[A-Z]{1,6}[-/ ]?)?\d[\dA-Z]*(?:[-/. ]{0,1}(?:[A-Z]{1,3}[-/])?[\dA-Z]*\d[\dA-Z]*|[-/][A-Z]{1,4}\b)*)(?![\w%])"
)
_LABELLED = tuple(
    (type_, frozenset(words.split()), weight, re.compile(rf"(?<![\w-])(?i:{label}{_FILLER})(?<![\w-]){_VALUE}"))
    for type_, (words, label, weight) in _LABELS.items()
)  # the value itself in capitals: `case of 12 patients` and `visit 3 days later` are no numbers of anyone
_FEWEST = {"LICENSE": 4, "VEHICLE": 2}  # digits and letters that make a number of anyone, 5 elsewhere
_CALL = re.compile(
    r"(?i)(?:\b(?:call|phones?|tel|telephone|mobile|cell|fax|contact|reach|dial|text|ring|pager?|beeper|answering|desk|home|work|office|whatsapp|sms|messages?|registered|hotline|ext|number|kontakt|telefon|handy)\b)[^\n\d]{0,25}$"
)
_LOOSE = re.compile(r"(?<![\w.,/+-])\(?\d{2,5}\)?(?:[ .-]?\(?\d{2,5}\)?){1,4}(?![\w%]|-\d|[.,]\d)")
_LINE = re.compile(r"(?i)[ \-(]{1,2}(?:office|fax|mobile|cell|home|work|phone|desk|direct)\b")
_REGISTERED = re.compile(
    r"(?:\b(?:(?i:pmc?id|pubmed|ndc|loinc|snomed(?:[ -]?ct)?|rxnorm|rxcui|umls|meddra|genbank)|chr(?:\d\d?|[XYM]))\b[ \t]*(?i:codes?|id|no\.?|number)?[ \t:#(]*)$"
)
_TRIAL = re.compile(r"(?:NCT|ISRCTN)\d{8}|(?i:pmid|pmc)[ :]*\d+")
_FAX = re.compile(r"(?i)\b(?:fax|faxed|telefax|facsimile|f)\b[^\n\d]{0,18}$")


def find(page: Page) -> Iterator[Found]:
    """Every identifier made of digits and signs that a shape or a label betrays."""
    return (found for found in _find(page) if not _is_public(page.text, found))


def _is_public(text: str, found: Found) -> bool:
    """True for the number of an article, a trial, a drug or a place in the genome: nobody is known by it."""
    registered = found.type in ("ID", "PHONE") and _REGISTERED.search(text, max(0, found.start - 30), found.start)
    return bool(registered or _TRIAL.fullmatch(text, found.start, found.end))


def _find(page: Page) -> Iterator[Found]:
    text = page.text
    for type_, sign, digits, pattern, weight, check in SHAPES:
        if page.digits >= digits and (sign == "0" or sign in text):
            for match in pattern.finditer(text):
                if check is None or check(match[0]):
                    yield _phone_or_fax(text, Found(type_, match.start(), match.end(), weight))
    if page.digits >= 2:
        for type_, words, weight, pattern in _LABELLED:
            if page.has(words):
                yield from _labelled(text, type_, weight, pattern)
    if page.digits >= 7:
        yield from _called(text)


def _labelled(text: str, type_: str, weight: float, pattern: re.Pattern[str]) -> Iterator[Found]:
    for match in pattern.finditer(text):
        digits = sum(map(str.isdigit, match[1]))
        signs = sum(map(str.isalnum, match[1]))
        if signs >= _FEWEST.get(type_, 5) and digits >= min(3, _FEWEST.get(type_, 3)):
            yield Found(type_, *match.span(1), weight)


def _called(text: str) -> Iterator[Found]:
    """Groups of digits after a word such as `call` or `mobile`."""
    for match in _LOOSE.finditer(text):
        digits = sum(map(str.isdigit, match[0]))
        before = _CALL.search(text, max(0, match.start() - 45), match.start())
        if 7 <= digits <= 15 and (before or _LINE.match(text, match.end())):
            yield _phone_or_fax(text, Found("PHONE", match.start(), match.end(), 0.65))


def _phone_or_fax(text: str, found: Found) -> Found:
    if found.type == "PHONE" and (
        _FAX.search(text, max(0, found.start - 30), found.start) or re.match("(?i)[ (-]{1,2}fax", text[found.end :])
    ):
        return found._replace(type="FAX")
    return found
