"""Each of the 18 identifiers is found in its many forms, and what only looks like one stays."""

from __future__ import annotations

import pytest

from medslm.data.gates.phi import LETTERS, Scanner

SCANNER = Scanner()


def found(text: str) -> list[tuple[str, str]]:
    return [(span.type, text[span.start : span.end]) for span in SCANNER.scan(text)]


IDENTIFIERS = {
    "NAME": [
        ("Dr. <Abiodun Falade> examined her.", "Abiodun Falade"),
        ("Seen by Mr <Quirke> in clinic.", "Quirke"),
        ("Patient: <Rosalind Achterberg>, 54", "Rosalind Achterberg"),
        ("Patient Name: <Mbeki, Thandi R.>", "Mbeki, Thandi R."),
        ("Signed by <H. Lindqvist>, RN", "H. Lindqvist"),
        ("We met <Katarzyna> and her brother.", "Katarzyna"),
        ("The daughter of <Pieter van der Berg> called.", "Pieter van der Berg"),
        ("PID|1||77341||<OKAFOR^GRACE^A>|F", "OKAFOR^GRACE^A"),
        ("Dr. <Rose> and Dr. Park agreed.", "Rose"),
        ("my name is <szymon> and I have a cough", "szymon"),
        ("<Brian White> is a smoker.", "Brian White"),
        ("The patient <JOHN SMITH> was admitted.", "JOHN SMITH"),
        ("<SMITH, JOHN A.> was admitted yesterday", "SMITH, JOHN A."),
        ("Attending: <WHITE, Robert> today", "WHITE, Robert"),
        ("Seen by <MARY BAKER> today", "MARY BAKER"),
        ("Mr.\u00a0<Smith> had a cough", "Smith"),
    ],
    "ORGANIZATION": [
        ("Transferred from <Saint Brendan Hospital> overnight.", "Saint Brendan Hospital"),
        ("He works for <Trelawney Haulage>.", "Trelawney Haulage"),
        ("Moved to <Massachusetts General Hospital> today", "Massachusetts General Hospital"),
    ],
    "LOCATION": [
        ("Lives at <1482 Larkspur Lane, Apt 7, Tulsa, OK 74103>.", "1482 Larkspur Lane, Apt 7, Tulsa, OK 74103"),
        ("Home: <17 Elm Road, Leeds LS1 4AP>", "17 Elm Road, Leeds LS1 4AP"),
        ("Adresse: <Lindenstraße 12, 10969 Berlin>.", "Lindenstraße 12, 10969 Berlin"),
        ("Send it to <P.O. Box 442>.", "P.O. Box 442"),
        ("ZIP code: <60614>", "60614"),
        ("She was born in <Kuala Lumpur>.", "Kuala Lumpur"),
        ("A farmer from <Tipperary>.", "Tipperary"),
        ("A resident of <Harlan County>.", "Harlan County"),
        ("<Boise, ID 83702>", "Boise, ID 83702"),
    ],
    "DATE": [
        ("Admitted <03/14/2022>.", "03/14/2022"),
        ("Last seen on <3/4/21> for cough.", "3/4/21"),
        ("Follow up <May 3rd>.", "May 3rd"),
        ("On the <5th of June 2019> she fell.", "5th of June 2019"),
        ("Collected <2021-09-30>.", "2021-09-30"),
        ("Collected <2021-09-30 14:22:05>.", "2021-09-30 14:22:05"),
        ("geb. <24.11.1949>", "24.11.1949"),
        ("Born <07-Apr-2022>.", "07-Apr-2022"),
        ("Stented in <February 2020>.", "February 2020"),
        ("Seen on <3/4> and again later.", "3/4"),
        ("On <Tuesday, 12 August> he slipped.", "Tuesday, 12 August"),
        ("Due <10/2023>.", "10/2023"),
        ("|<19480923>|F", "19480923"),
        ("the <fourth of July> party", "fourth of July"),
        ("Seen on <7/3>.", "7/3"),
        ("Admitted <03JUL2021>, discharged", "03JUL2021"),
        ("DOB <03\u201107\u20111956>", "03\u201107\u20111956"),
        ("DOB <1956\u201307\u201303>", "1956\u201307\u201303"),
        ("DOB: <03\u00a0July\u00a01956>", "03\u00a0July\u00a01956"),
        (
            "DOB: <\uff10\uff13/\uff10\uff17/\uff11\uff19\uff15\uff16>",
            "\uff10\uff13/\uff10\uff17/\uff11\uff19\uff15\uff16",
        ),
        ("Operado el <3 de marzo de 2018>.", "3 de marzo de 2018"),
    ],
    "AGE": [
        ("A <93>-year-old man.", "93"),
        ("She is <102> years old.", "102"),
        ("<91> yo F with delirium", "91"),
        ("died at the age of <95>", "95"),
        ("a <ninety-two> year old widow", "ninety-two"),
    ],
    "PHONE": [
        ("Call <(617) 555-0139>.", "(617) 555-0139"),
        ("Call <617-555-0139 ext. 22> now", "617-555-0139 ext. 22"),
        ("tel. <+44 20 7946 0321>", "+44 20 7946 0321"),
        ("Mobile: <0491 570 156>", "0491 570 156"),
        ("phone <03.93.92.16.85>", "03.93.92.16.85"),
        ("reach him at <9472 7916>", "9472 7916"),
        ("call <617\u2011555\u20110139> now", "617\u2011555\u20110139"),
        ("call <617\u00a0555\u00a00139> now", "617\u00a0555\u00a00139"),
    ],
    "FAX": [("Fax: <617-555-0188>", "617-555-0188"), ("faxed to <+1 617 555 0188>", "+1 617 555 0188")],
    "EMAIL": [
        ("Write to <a.b+c@mail.example.org>!", "a.b+c@mail.example.org"),
        ("<x_1@nhs.uk>", "x_1@nhs.uk"),
        ("<a.b@mail\u200b.example.org>", "a.b@mail\u200b.example.org"),
    ],
    "SSN": [("SSN <523-48-1179>", "523-48-1179"), ("social security number is <523481179>", "523481179")],
    "MRN": [
        ("MRN: <00482913>", "00482913"),
        ("Medical record number <MR-2290417>", "MR-2290417"),
        ("MRN#<8841203>", "8841203"),
        ("| MRN | <8841203> |", "8841203"),
        ("MRN\uff1a<8841203>", "8841203"),
    ],
    "HEALTH_PLAN": [
        ("Member ID: <XEA907412236>", "XEA907412236"),
        ("NHS number <943 476 5919>", "943 476 5919"),
        ("Medicare <1EG4-TE5-MK73>", "1EG4-TE5-MK73"),
        ("policy no. <PN-5530917-02>", "PN-5530917-02"),
    ],
    "ACCOUNT": [
        ("Account number <8830-2217-04>", "8830-2217-04"),
        ("paid with <4539 1488 0343 6467>", "4539 1488 0343 6467"),
        ("IBAN <DE89 3704 0044 0532 0130 00>", "DE89 3704 0044 0532 0130 00"),
    ],
    "LICENSE": [
        ("driver's license <D482-1190-5573>", "D482-1190-5573"),
        ("DEA <BF1234563>", "BF1234563"),
        ("NPI: <1245319599>", "1245319599"),
    ],
    "VEHICLE": [("license plate <7KTR902>", "7KTR902"), ("a car, <1HGCM82633A004352>", "1HGCM82633A004352")],
    "DEVICE": [
        ("Serial number <SN-48812-PQ>", "SN-48812-PQ"),
        ("UDI <(01)00844588003288(17)141120(10)7654321D>", "(01)00844588003288(17)141120(10)7654321D"),
        ("adapter <00:1B:44:11:3A:B7>", "00:1B:44:11:3A:B7"),
    ],
    "URL": [
        ("see <https://portal.example.org/u?id=8>.", "https://portal.example.org/u?id=8"),
        ("on <www.example.com/greta.44> today", "www.example.com/greta.44"),
        ("at <greta-blog.co.uk> she", "greta-blog.co.uk"),
    ],
    "IP": [
        ("from <10.24.118.7>", "10.24.118.7"),
        ("from <2001:db8:85a3::8a2e:370:7334>", "2001:db8:85a3::8a2e:370:7334"),
    ],
    "BIOMETRIC": [("Fingerprint template ID: <88213-AF>", "88213-AF")],
    "PHOTO": [("wound photo <IMG_20231.jpg> attached", "IMG_20231.jpg")],
    "ID": [
        ("Accession no. <S-23-004518>", "S-23-004518"),
        ("Case #<2023-11-40781>", "2023-11-40781"),
        ("Specimen ID <LAB20231107-0042>", "LAB20231107-0042"),
        ("<123e4567-e89b-12d3-a456-426614174000>", "123e4567-e89b-12d3-a456-426614174000"),
    ],
}


def test_every_identifier_of_the_rule_has_examples() -> None:
    assert set(IDENTIFIERS) == set(LETTERS)
    assert set(LETTERS.values()) == set("ABCDEFGHIJKLMNOPQR")


@pytest.mark.parametrize(
    ("type_", "text", "value"), [(type_, *case) for type_, cases in IDENTIFIERS.items() for case in cases]
)
def test_an_identifier_is_found_whole_and_by_its_type(type_: str, text: str, value: str) -> None:
    assert (type_, value) in found(text.replace("<", "").replace(">", ""))


CLINICAL = [
    "Parkinson disease, Crohn's disease and Addison disease were excluded.",
    "A Foley catheter drained clear urine; the Hickman line was removed.",
    "Symptoms may improve, and may 2 tablets suffice.",
    "Lasix 40 mg and Coumadin 5 mg daily; Tylenol No. 3 as needed.",
    "Down syndrome, Bell's palsy, Hodgkin lymphoma, Baker cyst, Kaposi sarcoma.",
    "Apgar 8 and 9; Glasgow Coma Scale 15; Wells score 3; Child-Pugh B.",
    "MRI 3 T of the brain; BP 120/80, HR 76, strength 5/5, pain 7/10, murmur 2/6.",
    "Telemetry 24/7; Norco 5/325; glucose 110 mg/dL; Na 138, K 4.1, Cr 1.2.",
    "Murphy sign negative. Babinski sign absent. Rinne and Weber tests normal.",
    "A 74-year-old woman from Canada, diagnosed in 2011, smokes 10/day.",
    "PAST MEDICAL HISTORY: Hypertension. ASSESSMENT AND PLAN: Continue Metformin.",
    "Escherichia coli and Staphylococcus aureus grew in 3 of 4 bottles.",
    "The 95 % confidence interval was 1.2-3.4 (p < 0.001), n = 1273.",
    "Doctor: Do you smoke? Patient: Well, I did until 1998.",
    "We compared mutants ΔtppA and Δspr with wild type.",
    "Hemoglobin 10.4, platelets 250,000, INR 2.5, ejection fraction 55%.",
    "Cr 1.1, Plt 220, Hct 33, Gluc 110, Bicarb 24, Bili 0.8, Phos 2, Mag 1.8, Neut 70.",
    "WBC 12,300 Plt 150000, Fibrinog 300, Haptog 1.2.",
    "She tested positive for SARS-CoV-2, and was isolated; MERS-CoV was not found.",
    "Stage T1N0M0; the other tumour was T2N1M0.",
    "Insulin 10-8-12 IE; insulin 12-10-14 units; prednisone 10-10-05 mg.",
    "NDC 0002-8215-01, PMID: 12345678, NCT01234567, SNOMED 73211009, chr17:43044295.",
    "Dose 100-1000 mg; range 250-1200 cells; 150-1200 of the control.",
]


@pytest.mark.parametrize("text", CLINICAL)
def test_clinical_text_without_identifiers_stays_as_it_is(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("card 4539 1488 0343 6468 in a table of 16 digits", "EMAIL"),
        ("Version 1.2.3 of the score", "IP"),
        ("an age of 89 years", "AGE"),
        ("95 % of patients", "AGE"),
        ("in 2019 and in 2020", "DATE"),
        ("a fraction of 3/4 remained", "DATE"),
        ("in Texas and in New Zealand", "LOCATION"),
        ("a case of 12 patients", "ID"),
        ("the end.In addition", "URL"),
    ],
)
def test_what_only_looks_like_an_identifier_is_none(text: str, type_: str) -> None:
    assert type_ not in {kind for kind, _ in found(text)}


def test_an_eponym_after_a_title_is_a_person() -> None:
    assert found("Dr. Parkinson saw a patient with Parkinson disease.") == [("NAME", "Parkinson")]


def test_names_are_found_in_text_without_capitals() -> None:
    assert ("NAME", "katarzyna lindqvist") in found("today we saw katarzyna lindqvist with a cough")


def test_who_is_named_beside_a_person_is_a_person() -> None:
    assert {"Marrero", "Usamov"} <= {value for _, value in found("We spoke with Marrero and Usamov today.")}
