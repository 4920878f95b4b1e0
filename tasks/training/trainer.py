"""One training in this process: from a spec to a folder that holds a result."""

import json
import time
from pathlib import Path
from typing import Any

import torch

from tasks.training import determinism
from tasks.training.hardware import choose_device, hardware_class
from tasks.training.loop import Report, evaluate, fit
from tasks.training.network import Classifier, ServedModel, build_classifier
from tasks.training.pixels import Rows, load_pixels, pixel_statistics
from tasks.training.result import METRICS, MODULE, SPEC, WEIGHTS, TrainedModel, weights_sha256, write_result
from tasks.training.spec import TrainingSpec


def train_here(spec: TrainingSpec, out: Path, report: Report) -> TrainedModel:
    """Train `spec` into the folder `out`, reporting events, and return the result.

    Raises:
        TrainingError: no model came out.
        DataError: the pixel map cannot be read.
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


def save(classifier: Classifier, spec: TrainingSpec, out: Path) -> ServedModel:
    """Write weights.pt and model.pt (TorchScript, fp32, on the CPU) and return the eager module."""
    classifier = classifier.to("cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    torch.save(classifier.state_dict(), out / WEIGHTS)
    served = ServedModel(classifier, spec.channels, spec.size_px).eval()
    torch.jit.script(served).save(str(out / MODULE))
    return served


class EventLog:
    """Writes each event as a JSON line to stdout, and all but the steps to metrics.jsonl."""

    def __init__(self, out: Path) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self.file = (out / METRICS).open("w", buffering=1)

    def __call__(self, event: dict[str, Any]) -> None:
        """Write one event."""
        line = json.dumps(event)
        print(line, flush=True)
        if event["event"] != "step":
            self.file.write(line + "\n")
