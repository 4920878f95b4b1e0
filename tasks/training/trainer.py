"""One training in this process: from a spec to a folder that holds a result."""

import json
import time
from pathlib import Path
from typing import Any

import torch

from serving.bundle.module import script_module
from tasks.errors import DataError
from tasks.training import determinism
from tasks.training.hardware import choose_device, hardware_class
from tasks.training.loop import Report, evaluate, fit
from tasks.training.network import Classifier, ServedModel, build_classifier
from tasks.training.pixels import Pixels, Rows, load_pixels, pixel_statistics
from tasks.training.result import METRICS, MODULE, SPEC, WEIGHTS, TrainedModel, weights_sha256, write_result
from tasks.training.spec import TrainingSpec


def train_here(spec: TrainingSpec, out: Path, report: Report) -> TrainedModel:
    """Train `spec` into the folder `out`, reporting events, and return the result.

    Raises:
        TrainingError: no model came out.
        DataError: the pixel map cannot be read, or is not of the shape that the spec says.
    """
    started = time.monotonic()
    determinism.seal(seed=spec.seed, threads=spec.threads)
    device = choose_device(spec.device)
    hardware, versions = hardware_class(device, spec.threads), determinism.versions()
    (out / SPEC).write_text(spec.to_json())
    report({"event": "start", "hardware": hardware, "versions": versions})
    folder = Path(spec.pixels)
    train = load_pixels(folder, Rows.TRAIN, device)
    validation = load_pixels(folder, Rows.VALIDATION, device)
    check_shape(train, spec)
    classifier = build_classifier(spec)
    mean, scale = pixel_statistics(train.images)
    classifier.mean.copy_(mean)
    classifier.scale.copy_(scale)
    classifier = classifier.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = fit(classifier, train, validation, spec, report)
    _, accuracy = evaluate(averaged, validation)
    served = save(averaged, spec, out)
    result = TrainedModel(
        folder=out,
        architecture=spec.recipe.architecture,
        channels=spec.channels,
        size_px=spec.size_px,
        classes=spec.classes,
        embedding_size=served.projection.shape[1],
        weights_sha256=weights_sha256(served.classifier.state_dict()),
        seed=spec.seed,
        seconds=time.monotonic() - started,
        validation_accuracy=accuracy,
        hardware=hardware,
        versions=versions,
    )
    write_result(result)
    report({"event": "end", "weights_sha256": result.weights_sha256, "seconds": result.seconds})
    return result


def check_shape(pixels: Pixels, spec: TrainingSpec) -> None:
    """Check that the map holds the images that the network will see.

    Raises:
        DataError: it does not; unchecked, grey images would pass as colour, by broadcasting.
    """
    found, expected = tuple(pixels.images.shape[1:]), (spec.channels, spec.size_px, spec.size_px)
    if found != expected:
        raise DataError(f"{spec.pixels} holds images of shape {found}, the spec says {expected}: build the map anew")


def save(classifier: Classifier, spec: TrainingSpec, out: Path) -> ServedModel:
    """Write weights.pt and model.pt (TorchScript, fp32, on the CPU) and return the eager module."""
    classifier = classifier.to("cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    torch.save(classifier.state_dict(), out / WEIGHTS)
    served = ServedModel(classifier, spec.channels, spec.size_px).eval()
    script_module(served).save(str(out / MODULE))
    return served


class EventLog:
    """Writes each event as a JSON line to stdout, and all but the steps to metrics.jsonl."""

    def __init__(self, out: Path) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self.path = out / METRICS
        self.path.write_text("")

    def __call__(self, event: dict[str, Any]) -> None:
        """Write one event."""
        line = json.dumps(event)
        print(line, flush=True)
        if event["event"] != "step":
            with self.path.open("a") as metrics:
                metrics.write(line + "\n")
