"""Rows of a dataset on the Hub."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from medslm.data.corpus import Row


@dataclass(frozen=True)
class Dataset:
    """One split of one configuration of a dataset on the Hub."""

    hub_id: str

    config: str | None = None
    """The configuration, where the dataset has several."""

    split: str = "train"

    @property
    def name(self) -> str:
        """The Hub id."""
        return self.hub_id

    def rows(self) -> Iterable[Row]:
        """Every row."""
        import datasets

        return cast("Iterable[dict[str, Any]]", datasets.load_dataset(self.hub_id, self.config, split=self.split))

    def version(self) -> str:
        """The commit."""
        from huggingface_hub import HfApi

        return str(HfApi().dataset_info(self.hub_id).sha)
