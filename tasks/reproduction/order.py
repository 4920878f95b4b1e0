"""What is asked of the code of a version, as JSON.

Code of one commit writes an order and code of another reads it. So fields may be added, with a default, and none may
change its meaning or go.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import ConfigError

ORDER = "order.json"
FACTS = "facts.json"  # what tasks.reproduction.facts answers
RESULT = "result.json"  # what tasks.reproduction.remake answers, written last
PREDICTIONS = "predictions.parquet"


@dataclass(frozen=True)
class Order:
    """One version to make again.

    `spec` is the file of its training spec, `weights_file` where its initial weights are here ("": none), `device`
    the kind it was trained on, `lock` the name of its lock in `locks/`. Data: DVC's md5 and the digest; the remote;
    `data_root` is a folder with a .dvc folder, whose cache is used. `module` is the registered model.pt, `tolerance`
    that of the registered bundle.
    """

    spec: str
    weights_file: str
    device: str
    lock: str
    dvc_md5: str
    data_digest: str
    data_remote: str
    data_root: str
    module: str
    tolerance: float

    def to_json(self) -> str:
        """Return the text of order.json."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True)


def read_order(path: Path) -> Order:
    """Read order.json; fields that this code does not know are left out.

    Raises:
        ConfigError: it is missing, not JSON, or lacks a field.
    """
    try:
        values = json.loads(path.read_text())
        return Order(**{field.name: values[field.name] for field in dataclasses.fields(Order)})
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is no order: {error!r}; `evergreen reproduce VERSION` writes one") from error
