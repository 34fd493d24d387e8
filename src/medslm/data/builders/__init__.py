"""One file a source; importing this package registers every corpus and benchmark, and reads none of them."""

from medslm.data.builders import icd10cm

__all__ = ["icd10cm"]
