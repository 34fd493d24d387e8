"""Clusters by union-find, all pairs of an array at a time: who is joined to whom, directly or through others.

A forest is an array that holds for each row another row of its cluster, and for the first row of a cluster itself. (N,)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]


def roots(forest: Array, rows: Array) -> Array:
    """The first row of the cluster of each of `rows`. (M,) -> (M,)"""
    up = forest[rows]
    while ((above := forest[up]) != up).any():
        up = above
    return up


def join(forest: Array, one: Array, other: Array) -> None:
    """Make one cluster of the clusters of each pair. (M,), (M,); changes `forest`, which may need `flatten` afterwards."""
    import numpy

    while len(one):  # each turn joins at least half of the clusters that are still to be joined
        one, other = roots(forest, one), roots(forest, other)
        apart = one != other
        one, other = one[apart], other[apart]
        numpy.minimum.at(forest, numpy.maximum(one, other), numpy.minimum(one, other))


def flatten(forest: Array) -> None:
    """Point every row to the first of its cluster."""
    while ((above := forest[forest]) != forest).any():
        forest[:] = above
