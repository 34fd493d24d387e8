"""De-identification: finds the 18 identifiers of HIPAA's Safe Harbor in training text, and masks them."""

from medslm.data.gates.phi.examples import mask_example
from medslm.data.gates.phi.kinds import LETTERS, Span
from medslm.data.gates.phi.scanner import Scanner

__all__ = ["LETTERS", "Scanner", "Span", "mask_example"]
