"""What betrays a name: titles, labels, degrees, verbs, and what looks like a name and is none."""

# ruff: noqa: E501, SIM905 - lists of words and patterns are data: broken over more lines they are harder to check

from __future__ import annotations

import re

from medslm.data.gates.phi.dates import LANGUAGES

TITLES = frozenset(
    """mr mrs ms miss mister mx dr drs doctor prof professor sir dame lord lady rev reverend fr father sr sra srta sgt sergeant capt
    captain lt col maj cpl officer judge hon herr herrn frau mme mlle monsieur madame docteur dott dra don doña señor señora
    nurse matron uncle aunt auntie grandma grandpa president senator detective rabbi imam pastor a/prof""".split()
)
NEVER = frozenset(
    """black white asian hispanic caucasian latino latina jew jewish muslim christian catholic hindu buddhist i ii iii iv god
    monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri sat sun ok am pm st mt ft
    internet english american european african british indian german french spanish russian chinese mexican italian
    greek dutch swiss turkish arab korean thai iraqi israeli pakistani czech dane swede finn pole slovak serb croat
    mr mrs ms dr md rn phd usa uk us eu mondays tuesdays wednesdays thursdays fridays saturdays sundays ma'am uhm nah hiya okey hmm guest mhm
    who nhs cdc fda nih i'm i'll i've i'd i’m i’ll i’ve i’d won't don't can't
    pt hx rx dx tx sx fx bx cx px ct mri ekg ecg iv im po prn bid tid qid qhs npo icu ed er or hiv dna rna copd
    chf cabg gerd dvt uti bmi cbc bmp inr wbc rbc ros hpi cc pmh psh nkda heent perrl eomi dtrs afebrile hctz
    nan sex dob mrn ssn yo vs vss hr bp rr spo2 wnl abd ext neuro psych resp cv gi gu msk derm t2dm dm htn cad""".split()
) | {name for months in LANGUAGES for name in months}
STATES_OR_WOMEN = frozenset("victoria virginia georgia jordan chad israel".split())
ORGANIZATION = frozenset(
    """hospital hospitals clinic clinics infirmary surgery pharmacy hospice inc inc. llc ltd ltd. plc gmbh ag corp corp.
    corporation company co co. university college school academy institute foundation laboratories laboratory labs
    associates partners group holdings industries enterprises logistics bank insurance medicine church healthcare
    health centre center home homes manor sanatorium klinik krankenhaus klinikum trust systems solutions
    technologies services limited ministry department club""".split()
)
CARE = frozenset("hospital hospitals clinic clinics infirmary hospice".split())
ORG_WEAK = frozenset("surgery medicine health center centre home homes department services group manor school club company church insurance trust partners associates systems solutions bank college institute laboratory labs clinic hospital".split())  # fmt: skip
LINKS = frozenset(
    "van von der den de del della di da do dos das du la le el bin ibn al ten ter zu of and y e & st".split()
)
PARTICLE = r"(?:van|von|der|den|de|del|della|di|da|do|dos|das|du|la|le|el|bin|ibn|bint|al|ten|ter|zu|af|av|y)"
CAP = r"(?<![^\W_])[A-ZÀ-ÖØ-ÞĀ-ɏΆ-ΏΑ-ΫА-Я][^\W\d_]*(?:['’\-‐][^\W\d_]+)*"
RUN = re.compile(rf"{CAP}(?:(?:\.?[ ]{{1,2}}|\.|[ ]?\n?[ ]*(?=\bOf\b))(?:{PARTICLE}[ ]+){{0,3}}{CAP})*")
TOKEN = re.compile(CAP)

SPEAKERS = re.compile(
    r"(?i)\b(?:patient|pt|client|doctor|mother|father|son|daughter|wife|husband|spouse|brother|sister|partner|fianc[eé]e?|friend|"
    r"neighbou?r|aunt|uncle|cousin|niece|nephew|roommate|boss|caregiver|carer|guardian|from|to|re|resident|intern|fellow|"
    r"witness|subject|contact|nurse|therapist|clinician|guest)[ \t]*[:;=(\]][ \t]*$"
)
FIELDS = re.compile(
    r"(?i)(?:\b(?:(?:sur|last ?|first ?|given ?|family ?|full ?|middle ?|maiden ?|user)?names?\??|attending|surgeon|assistant|an(?:a)?esthetist|"
    r"anesthesiologist|physician|provider|consultant|specialist|pcp|gp|gynecologist|radiologist|pathologist|cardiologist|"
    r"oncologist|midwife|pharmacist|counsell?or|interpreter|(?:social|case) worker|case manager|next of kin|nok|"
    r"emergency contact|contact person|author|signature|signed|cc|attn|attention|claimant|donor|recipient|referrer|"
    r"chaperone|cardholder|beneficiary|insured|employee)[ \t]*(?:name)?[ \t]*[:;=?(][ \t]*"
    r"|\b(?:signed|dictated|transcribed|reviewed|verified|seen|written|examined|prepared|authenticated|referred|performed|"
    r"assessed|ordered|interpreted|pronounced|witnessed|entered|attended|treated|sung|directed|arranged|reported|recorded|"
    r"followed(?: there)?)(?: \w+ly)? by[ \t]*:?[ \t]*"
    r"|\b(?:dear|hi|hello|hey|sincerely,|regards,|yours,|thanks,|cheers,|respectfully,|spoke (?:with|to)|discussed with|d/w|my name is|"
    r"name is|name's|i am called|(?:is|was) called|named|surname is|called by|accompanied by|care of|c/o|consulted|mr\. and|says|said|replied|answered|asked|told|heard)[ \t\n]+)$"
)
BEFORE_FIELD = frozenset(
    """by dear hi hello hey sincerely regards yours thanks cheers respectfully with to d/w is name's called named of c/o consulted
    and says said replied answered asked told heard""".split()
)


CREDENTIALS = re.compile(
    r"^(?:['’]s)?,?[ ]{0,2}\(?(?:M\.?D\.?|D\.?O\.?|R\.?N\.?|PA(?:-C)?|A?NP(?:-C)?|APRN|CRNA|CNM|DDS|DMD|DPM|OD|Ph\.?D|Pharm\.?D|LCSW|"
    r"MSW|LPN|LVN|FRCS|FRCP|FRCA|MRCP|MBBS|MBChB|FACS|FACC|MPH|BSN|DPT|OTR|PT|EMT|Esq|Jr|Sr)\b(?![ ]?\d)"
)
ILLNESS = re.compile(
    r"^(?:['’]s?)?[ -]?(?:[/–-][ ]?[A-Z][\w'’]+[ -]?)?(?:and [A-Z]\w+ )?(?:diseases?|syndromes?|signs?|tests?|scores?|scales?|"
    r"criteria|classification|palsy|lymphoma|sarcoma|tumou?rs?|cysts?|lines?|catheters?|cells?|bod(?:y|ies)|nodes?|reflex|"
    r"phenomenon|manoeuv(?:er|re)|maneuver|procedure|operation|method|stage|grade|index|an(?:a)?emia|thyroiditis|"
    r"contracture|fracture|chorea|ataxia|dystrophy|hernia|ulcers?|esoph\w+|oesoph\w+|encephalopathy|nephritis|arteritis|"
    r"stain(?:ing)?|agar|solution|lactate|murmur|triad|tetralogy|law|equation|formula|model|correction|distribution|"
    r"correlation|coefficient|correction|regression|plot|curves?|blot|gel|assay|medium|rats?|mice|mouse|virus|fever|diet|"
    r"tubes?|drain|clamp|forceps|retractor|collar|splint|brace|bandage|pump|monitor|scan|lamp|chart|filter|stitch|incision|"
    r"point|space|canal|duct|gland|ligament|muscle|pouch|angle|area|loop|fossa|membrane|mg|mcg|µg|tablets?|capsules?|inhaler|cream)\b"
)
SMALL = frozenset(
    "in from at near to visit visited visiting outside around via toward towards leaving reach reached".split()
)
EMPLOYED = re.compile(
    r"(?i)\b(?:works?|worked|working|employed|employee|employer|job)[ ](?:for|at|by|of|is|with)[ ](?:the )?$"
)
EMPLOYED_ENDS = frozenset("for at by of is with the".split())
PHARMA = re.compile(  # endings of medicines, illnesses, reagents, adjectives, peoples: no name by the capital alone
    r"(?:mycin|micin|[ct]illin|floxacin|statin|gliptin|formin|farin|parin|toxin|globin|amin|tonin|ferrin|[cpxd]in|zine|pine|dine|mine|"
    r"tine|line|thine|ol|ide|one|ium|ase|itis|osis|oma|aemia|emia|uria|pathy|ectomy|otomy|ostomy|plasty|scopy|gram|graphy|genic|mab|nib|pril|"
    r"sartan|azole|vir|pam|lam|afil|triptan|flozin|tide|xaban|setron|ese|ish|ian|ean|ic|ical|ism|ist|ists|ity|tion|sion|"
    r"oid|cyte|blast|phil|philia|penia|trophy|plasia|acea|aceae|virus|coccus|bacter|yl|phage|kine|ogen|ogy|pro|ex|ix|ax|eze|rex)$"
)
ACTS = re.compile(
    r"['’]s |: [\"“A-Z]|:[\"“]|, (?:can|could|would|will|please|I|you|do|did|are|have)\b| (?:spent|shouted|flew|wrote|grew up|has been|will (?:be|not|have)|is from|comes from|was born|was seen|moved|told|asked|said|says|replied|felt|called|"
    r"came|went|died|married|met|works?|worked|lives?|lived|loves?|retired|studied|speaks?|states?|stated|reports?|reported|denies|denied|complains?|complained|"
    r"endorses?|notes|noted|presents|presented|agrees|agreed|feels|wants|thinks|takes|drinks|smokes|attended|and I|(?:is|was) very|is an? (?:\w+ )?(?:\d|man|woman|boy|girl|patient|year|retired|\w+ist|nurse|teacher))\b"
)
MEASURED = re.compile(
    r"[ \t]*[=:<>~]?[ \t]*\d+(?:[.,]\d+)*[ ]?%?(?=[,;.)\s]|$)(?![.,]?[ ]?(?:y(?:/?o|rs?|ears?)?|[MF])\b)"
)
"""The value behind `Fibrinog`, which no list of words holds; not the age behind a name."""
VALUE = re.compile(r"\d[^\s,;]*[,;|]?[ \t]*$")
"""The value before, of a row of them."""
LINKED = re.compile(r"(?:,| and| or| &|, and)[ ]")
LOWER = re.compile(r"(?i)(?:\bmy name is|\bname's|\b(?:mr|mrs|ms|dr|prof)\.?|\bgender of)[ ]([a-z]{3,})\b")
LOWER_TOWN = re.compile(
    r"\b(?:live[sd]? in|living in|born in|moved to|arrived at|resident of|travel(?:ling|ing)? to)[ ]([a-z]{4,})\b"
)
USER = re.compile(r"(?i)\b(?:user(?:name)?|login|account name|handle)[ :=]+(?:id[ :=]+)?@?([a-z][a-z0-9_.]{3,})\b")
LOWERED = (
    (frozenset("name mr mrs ms dr prof gender".split()), LOWER, "NAME"),
    (
        frozenset("live lived lives living born moved arrived resident travel traveling travelling".split()),
        LOWER_TOWN,
        "LOCATION",
    ),
    (frozenset("user username login account handle".split()), USER, "NAME"),
)
LAST_FIRST = re.compile(rf"({CAP}),[ ]?({CAP}(?:[ ][A-Z]\b\.?|[ ]{CAP})?)")
HL7 = re.compile(r"\b[A-Z][A-Za-z'\-]+\^[A-Z][A-Za-z'\-]+(?:\^[A-Z][A-Za-z]*)*")
NO_NAME_AFTER = SMALL | frozenset("of western eastern northern southern west east north south upstate via".split())
SUFFIX = re.compile(r",? (?:Jr|Sr|II|III|IV)\b\.?")


def last_word(before: str) -> str:
    """The last word of what stands before, in lower case, with the signs that end it."""
    return before.rsplit(None, 1)[-1].lower() if before.strip() else ""


def is_field(before: str) -> bool:
    """True if what stands before is the name of a field that holds a name, such as `Surgeon:` or `signed by`."""
    last = last_word(before)
    return (last[-1:] in tuple(":;=?(,") or last in BEFORE_FIELD) and bool(FIELDS.search(before))


def is_spoken(before: str) -> bool:
    """True after `Doctor:` and other speakers, whose words follow more often than a name."""
    return last_word(before)[-1:] in tuple(":;=(]") and bool(SPEAKERS.search(before))


def is_employed(before: str) -> bool:
    """True after `works for`."""
    return before[-1:] == " " and last_word(before) in EMPLOYED_ENDS and bool(EMPLOYED.search(before))
