"""`python -m tasks.reproduction.remake ORDER.json OUT/`: a version made again: data, training, bundle, predictions.

It runs in the checkout of the version, with that commit's own code, after tasks.reproduction.facts. It writes
OUT/predictions.parquet and, as the last, OUT/result.json; its events go to stdout, a JSON line each.
"""

import dataclasses
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from serving.bundle.contract import MODULE
from serving.bundle.durable import read_json, write_json
from serving.bundle.module import load_module
from tasks.data.dataset import Dataset, Split
from tasks.data.pixels import build_pixels
from tasks.errors import EvergreenError
from tasks.evaluation.finish import finish_bundle
from tasks.evaluation.scores import score_split, write_predictions
from tasks.reproduction.facts import local_spec
from tasks.reproduction.order import FACTS, PREDICTIONS, RESULT, Order, read_order
from tasks.reproduction.restore import Restored, restore_data
from tasks.training.result import TrainedModel, weights_sha256
from tasks.training.run import train

TEMPERATURE = "temperature"  # fitted after the training: no weight


def remake(order: Order, out: Path) -> dict[str, Any]:
    """Make the ordered version again in `out` and return what came of it.

    Raises:
        DataError: the data is not to be had, or cannot be used.
        TrainingError: no model came out.
    """
    restored = restore_data(order, out / "data", out / "home", report)
    data = {"md5": restored.md5, "files": restored.files, "images": restored.images, "place": restored.place}
    findings = [*restored.findings, *find_other_classes(order, restored)]
    if restored.dataset is None or findings:
        return {"findings": findings, "data": data}
    started = time.monotonic()
    trained, module = train_and_score(order, restored.dataset, out)
    return {
        "findings": [],
        "data": {**data, "digest": restored.dataset.digest},
        "seconds": time.monotonic() - started,
        "weights_sha256": trained.weights_sha256,
        "module_sha256": module_sha256(module),
        "registered_module_sha256": module_sha256(Path(order.module)),
    }


def find_other_classes(order: Order, restored: Restored) -> list[str]:
    """Return a sentence where the data's classes are not those that the version was trained on."""
    wanted = local_spec(order).classes
    if restored.dataset is None or restored.dataset.classes == wanted:
        return []
    return [f"the data's classes are {restored.dataset.classes}, the training's {wanted}"]


def train_and_score(order: Order, dataset: Dataset, out: Path) -> tuple[TrainedModel, Path]:
    """Train on the data, score the test set into OUT/predictions.parquet, and return the model and its module."""
    device = (read_json(out / FACTS) or {})["device"]
    spec = dataclasses.replace(local_spec(order), device=device)
    pixels = build_pixels(dataset, channels=spec.channels, size_px=spec.size_px, cache=out / "cache", report=report)
    trained = train(dataclasses.replace(spec, pixels=str(pixels.folder)), out / "training", show)
    report("score the test set", 0, 0)
    torch.set_num_threads(spec.threads)
    bundle = finish_bundle(trained, pixels, folder=out / "bundle", data_digest=pixels.digest, tolerance=order.tolerance)
    scores = score_split(bundle.folder / MODULE, bundle.contract.classes, pixels, split=Split.TEST)
    write_predictions(scores, out / PREDICTIONS)
    return trained, bundle.folder / MODULE


def module_sha256(path: Path) -> str:
    """Return the SHA-256 over all tensors of a module but the temperature: what callers of a version get."""
    tensors = load_module(path).state_dict()
    return weights_sha256({name: value for name, value in tensors.items() if name.split(".")[-1] != TEMPERATURE})


def report(stage: str, done: int, total: int) -> None:
    """Say how far the work is."""
    show({"event": "stage", "stage": stage, "done": done, "total": total})


def show(event: Mapping[str, Any]) -> None:
    """Hand on one event."""
    print(json.dumps(event), flush=True)


def main(arguments: list[str]) -> int:
    """Make the version again that the arguments name, and return the exit code."""
    order_file, out = map(Path, arguments)
    try:
        write_json(out / RESULT, remake(read_order(order_file), out))
    except EvergreenError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
