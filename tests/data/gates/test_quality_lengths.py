"""What a max_length costs is told in numbers, in a table and in a picture."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
from PIL import Image

from medslm.data.gates import lengths
from medslm.data.gates.lengths import Limit
from medslm.errors import MedslmError

HUNDRED = numpy.arange(1, 101)


def test_percentiles_are_lengths_that_occur() -> None:
    told = lengths.percentiles(HUNDRED)
    assert told == {"median": 50, "90 %": 90, "95 %": 95, "99 %": 99, "longest": 100}
    assert lengths.percentiles(numpy.array([3, 1000], "u2"))["median"] == 3


def test_an_example_as_long_as_the_limit_is_not_dropped() -> None:
    assert lengths.limits(HUNDRED, (99, 100)) == [Limit(99, 1, 0.01), Limit(100, 0, 0.0)]


def test_the_table_is_aligned() -> None:
    assert lengths.table(numpy.repeat(HUNDRED, 20), (10, 1024)).splitlines() == [
        "2,000 examples; tokens: median 50, 90 % 90, 95 % 95, 99 % 99, longest 100",
        "max_length       dropped    share",
        "        10         1,800   90.00%",
        "     1,024             0    0.00%",
    ]


def test_no_example_has_no_percentiles() -> None:
    assert lengths.percentiles(numpy.empty(0, int)) == {}
    assert lengths.table(numpy.empty(0, int), (10,)).splitlines()[0] == "0 examples; tokens: none"


@pytest.mark.parametrize("of", [HUNDRED, numpy.array([0, 1]), numpy.array([7]), numpy.array([100_000] * 9, "i4")])
def test_the_picture_is_a_png_and_the_same_every_time(
    tmp_path: Path, of: numpy.ndarray[tuple[int], numpy.dtype[numpy.int64]]
) -> None:
    for name in ("one.png", "other.png"):
        lengths.plot(of, 64, tmp_path / name)
    with Image.open(tmp_path / "one.png") as image:
        assert image.size[0] > 500
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()


def test_nothing_cannot_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(MedslmError, match="no example whose length could be drawn"):
        lengths.plot(numpy.empty(0, int), 64, tmp_path / "none.png")
    assert not [*tmp_path.iterdir()]
