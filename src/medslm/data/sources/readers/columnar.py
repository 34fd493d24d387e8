"""Parquet rows, in batches (https://arrow.apache.org/docs/python/parquet.html)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from medslm.data.sources.readers.located import Located, named
from medslm.errors import MedslmError

BATCH = 256  # rows turned into Python objects at once
BUFFER = 1 << 20  # bytes; with one, column chunks are read as they are needed and not whole


def rows(path: Path) -> Iterator[Located]:
    """Every row of a Parquet file. Raises `MedslmError` with file and row."""
    import pyarrow  # type: ignore[import-untyped]
    from pyarrow import parquet  # type: ignore[import-untyped]

    number = 0
    try:
        with parquet.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False) as file:
            twice = [name for name, times in Counter(file.schema_arrow.names).items() if times > 1]
            if twice:
                raise MedslmError(f"{path} has more than one column called {named(twice)}; names are given once")
            for batch in file.iter_batches(batch_size=BATCH):
                for cells in batch.to_pylist():
                    number += 1
                    yield Located(cells, str(path), "row", number)
    except UnicodeDecodeError:
        raise MedslmError(
            f"{path}, rows {number + 1} to {number + BATCH}: a column of text holds bytes that are not UTF-8; "
            "write them again"
        ) from None
    except (pyarrow.ArrowException, OSError) as error:
        raise MedslmError(
            f"{path} ({path.stat().st_size} bytes) cannot be read as Parquet after row {number}; "
            "it is cut off, broken or another kind of file"
        ) from error
