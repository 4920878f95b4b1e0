"""The dataset of a run as MLflow shows it: a name, a digest, where DVC keeps it, and its counts. No data is read."""

import json
from typing import Any, NoReturn

from mlflow.data.dataset_source import DatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import DatasetInput, InputTag

from tasks.data.dataset import DatasetVersion

DIGEST_CHARACTERS = 36  # the longest digest that MLflow's database takes; the source has all 64


class DvcSource(DatasetSource):
    """Where DVC restores a dataset from: a remote, and the folder's md5 in it."""

    def __init__(self, address: str, md5: str, digest: str) -> None:
        self.address = address
        self.md5 = md5
        self.digest = digest

    @staticmethod
    def _get_source_type() -> str:
        return "dvc"

    def load(self, **_options: Any) -> NoReturn:
        """Refuse: only the data stage speaks DVC.

        Raises:
            NotImplementedError: always, with what restores the dataset.
        """
        raise NotImplementedError(
            f"restore {self.md5} from {self.address} with the run's lineage/data.dvc.txt and `dvc pull`"
        )

    @staticmethod
    def _can_resolve(raw_source: Any) -> bool:
        del raw_source  # nothing is guessed to be a DVC remote
        return False

    @classmethod
    def _resolve(cls, raw_source: Any) -> "DvcSource":
        raise NotImplementedError(f"{raw_source!r} does not name a DVC version; make a DvcSource of one")

    def to_dict(self) -> dict[str, str]:
        """Return the remote's address, the folder's md5 there and the dataset's digest."""
        return {"address": self.address, "md5": self.md5, "digest": self.digest}

    @classmethod
    def from_dict(cls, source_dict: dict[str, str]) -> "DvcSource":
        """Make a source of what `to_dict` returned."""
        return cls(**source_dict)


class CountedDataset(MetaDataset):
    """A dataset that is described but not read, with a profile."""

    def __init__(self, source: DatasetSource, name: str, digest: str, profile: dict[str, Any]) -> None:
        super().__init__(source, name, digest)
        self._profile = profile

    @property
    def profile(self) -> dict[str, Any]:
        """The numbers that MLflow's UI shows of the dataset."""
        return self._profile

    def to_dict(self) -> dict[str, str]:
        """Return what MLflow stores: MetaDataset's fields and the profile."""
        return {**super().to_dict(), "profile": json.dumps(self._profile)}


def describe_dataset(name: str, version: DatasetVersion, context: str) -> DatasetInput:
    """Return what MLflow logs of a dataset version; the profile counts each split's images by class."""
    dataset = version.dataset
    source = DvcSource(version.remote, version.dvc_md5, dataset.digest)
    counts = {split: dict(zip(dataset.classes, row, strict=True)) for split, row in dataset.counts.items()}
    profile = {"images": dataset.size, "counts": counts, "quarantined": dataset.quarantined}
    logged = CountedDataset(source, name, dataset.digest[:DIGEST_CHARACTERS], profile)
    return DatasetInput(logged._to_mlflow_entity(), [InputTag("mlflow.data.context", context)])
