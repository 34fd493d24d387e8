"""De-identification: finds the 18 identifiers of HIPAA's Safe Harbor in training text, and masks them."""

from medslm.data.gates.phi.examples import Report, mask_example, survey
from medslm.data.gates.phi.kinds import LETTERS, Span
from medslm.data.gates.phi.scanner import Scanner

__all__ = ["LETTERS", "Report", "Scanner", "Span", "mask_example", "survey"]
