"""What the gates did, in lines to read before a run starts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

DROPS = {
    "unusable": "without question or answer",
    "contaminated": "copies of test items",
    "repeated": "repetitions",
    "near": "near copies of others",
    "too_long": "longer than max_length",
}


def lines(corpora: Mapping[str, Mapping[str, Any]], gates: Mapping[str, Any]) -> Iterator[str]:
    """One line a corpus, and one a gate that has something to say."""
    for name, report in corpora.items():
        skipped = [f"{number} rows skipped ({reason})" for reason, number in report["skipped"].items()]
        found = [f"{report[what]} {words}" for what, words in DROPS.items() if report[what]]
        yield f"{name} ({report['license']}): " + ", ".join([f"{report['read']} examples read", *skipped, *found])
    yield from _contamination(gates["contamination"])
    yield from _identifiers(gates["deidentification"])
    yield from _quality(gates["quality"])
    if length := gates.get("lengths"):  # a built dataset has no tokens
        yield "tokens an example: " + ", ".join(f"{name} {value:,}" for name, value in length.items())
    yield from _license(gates["license"])


def _contamination(gate: Mapping[str, Any]) -> Iterator[str]:
    yield f"contamination ({gate['policy']}): {compared(gate['screened'], gate['missing'])}"


def compared(screened: Mapping[str, int], missing: Collection[str]) -> str:
    """What examples were compared with: `screened` counts the items by benchmark; those `missing` could not be read."""
    less = f"; NOT with {', '.join(missing)}, which cannot be read here" if missing else ""
    return f"compared with {sum(screened.values()):,} items of {len(screened)} benchmarks{less}"


def _identifiers(gate: Mapping[str, Any]) -> Iterator[str]:
    if gate["policy"] == "off":
        yield "identifiers of patients: not looked for (deidentify=off)"
        return
    examples = sum(gate["examples"].values())
    types: dict[str, int] = {}
    for found in gate["identifiers"].values():
        for kind, number in found.items():
            types[kind] = types.get(kind, 0) + number
    counted = ", ".join(f"{kind} {number:,}" for kind, number in sorted(types.items()))
    done = "counted, not replaced" if gate["policy"] == "scan" else "replaced"
    told = f"in {examples:,} examples, {done}: {counted}" if examples else "none found"
    yield f"identifiers of patients ({gate['engine']}): {told}"


def _quality(gate: Mapping[str, Any]) -> Iterator[str]:
    for name, findings in gate["findings"].items():
        if findings:
            yield f"quality of {name}: " + ", ".join(f"{kind} {number:,}" for kind, number in findings.items())
    for name, balance in gate["answers"].items():
        if balance.get("warning"):
            yield f"answers of {name}: {balance['warning']}"
    if gate["near_copies_across_validation"]:
        yield f"{gate['near_copies_across_validation']:,} validation examples have a near copy among those learnt"


def _license(gate: Mapping[str, Any]) -> Iterator[str]:
    flags = f" ({', '.join(gate['flags'])})" if gate["flags"] else ""
    yield f"licence of what is trained: {gate['name'] or gate['id']}{flags}"
