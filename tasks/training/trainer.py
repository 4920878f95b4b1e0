"""One training in this process: from a spec to a folder that holds a result."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from serving.bundle.durable import write_durably
from tasks.errors import DataError, TrainingError
from tasks.training.checkpoint import FOLDER, Checkpoint
from tasks.training.checkpoint_writer import CheckpointWriter
from tasks.training.determinism import check_flags, flags, seal, versions
from tasks.training.earlier import alone_in, take_over
from tasks.training.events import EventLog
from tasks.training.feed import Feed
from tasks.training.hardware import choose_device, hardware_class
from tasks.training.identity import digest_of, identity_of
from tasks.training.loop import Loop, Surroundings
from tasks.training.machine import Machine
from tasks.training.memory import explain_out_of_memory, out_of_memory
from tasks.training.network import Classifier, adapt_to, build_classifier
from tasks.training.pixels import Pixels, Rows, check_classes, open_pixels, pixel_statistics
from tasks.training.result import SPEC, TrainedModel, read_events, weights_sha256, write_result
from tasks.training.save import save, telling_a_full_disk
from tasks.training.schedule import check_steps
from tasks.training.spec import TrainingSpec
from tasks.training.step import Stepper
from tasks.training.stop import Stop
from tasks.training.validation import evaluate

SAMPLE = 5_000  # images that a first layer may be started from


@dataclass(frozen=True)
class Attempt:
    """One start of a training; `training` is the digest of its identity, `started` is in time.monotonic()'s seconds."""

    spec: TrainingSpec
    out: Path
    device: torch.device
    machine: Machine
    training: str
    log: EventLog
    stop: Stop
    started: float


def train_here(spec: TrainingSpec, out: Path, log: EventLog, stop: Stop) -> TrainedModel:
    """Train `spec` into the folder `out`, or go on with it, or reuse what is finished there, and return the result.

    Raises:
        ConfigError: there is no such device, or a weights file cannot be read.
        DataError: the pixel map cannot be read, or is not of the shape that the spec says.
        TrainingError: no model came out.
        TrainingStopped: somebody asked it to stop; it can go on.
    """
    started = time.monotonic()
    seal(seed=spec.seed, threads=spec.threads)
    device = choose_device(spec.device)
    machine = Machine(hardware_class(device, spec.threads), versions())
    log({"event": "start", "hardware": machine.hardware, "versions": machine.versions, "flags": flags()})
    identity = identity_of(spec, machine.hardware, machine.versions)
    with alone_in(out):
        with telling_a_full_disk(out):
            earlier = take_over(out, identity, log)
            if isinstance(earlier, TrainedModel):
                return tell_again(earlier, log)
            log.keep_in(out)
            write_durably(out / SPEC, spec.to_json())
        return train(Attempt(spec, out, device, machine, digest_of(identity), log, stop, started), earlier)


def tell_again(result: TrainedModel, log: EventLog) -> TrainedModel:
    """Tell the epochs and the end of a finished training."""
    for event in read_events(result.folder):
        log(event)
    log({"event": "end", "weights_sha256": result.weights_sha256, "seconds": result.seconds})
    return result


def train(attempt: Attempt, checkpoint: Checkpoint | None) -> TrainedModel:
    """Train to the end, from a checkpoint where there is one, and write the result.

    Raises:
        DataError, TrainingError, TrainingStopped: as `train_here`.
    """
    spec, device = attempt.spec, attempt.device
    training, validation = open_split(spec, Rows.TRAIN), open_split(spec, Rows.VALIDATION)
    feed = open_feed(training, spec, device)
    check_steps(spec.recipe.epochs * feed.steps, spec.recipe)
    try:
        loop = run_loop(attempt, feed, validation, checkpoint)
    except (RuntimeError, MemoryError) as error:
        said = out_of_memory(error)
        if not said:
            raise
    else:
        check_flags(spec.threads)
        return finish(attempt, loop)
    raise explain_out_of_memory(said, spec, device)  # here, where the network that did not fit is gone


def open_feed(pixels: Pixels, spec: TrainingSpec, device: torch.device) -> Feed:
    """Return the training's batches.

    Raises:
        TrainingError: the images were to be in memory, and are too many.
    """
    try:
        return Feed(pixels, spec, device)
    except (RuntimeError, MemoryError) as error:
        if not (said := out_of_memory(error)):
            raise
        raise TrainingError(
            f"the training images, {pixels.images.nbytes:,} bytes, do not fit in memory ({device.type}): lower "
            f"training.max_resident_bytes = {spec.execution.max_resident_bytes}, and they are streamed ({said})"
        ) from error


def open_split(spec: TrainingSpec, rows: Rows) -> Pixels:
    """Return a split whose images are of the shape that the network will see, and whose labels are classes.

    Raises:
        DataError: they are not; unchecked, grey images would pass as colour, by broadcasting.
    """
    pixels = open_pixels(Path(spec.pixels), rows)
    found, expected = tuple(pixels.images.shape[1:]), (spec.channels, spec.size_px, spec.size_px)
    if found != expected:
        raise DataError(f"{spec.pixels} holds images of shape {found}, the spec says {expected}: build the map anew")
    check_classes(pixels, spec.classes)
    return pixels


def run_loop(attempt: Attempt, feed: Feed, validation: Pixels, checkpoint: Checkpoint | None) -> Loop:
    """Run the loop to its end."""
    spec, device = attempt.spec, attempt.device
    classifier = new_classifier(spec, feed)
    if classifier.not_loaded:
        attempt.log({"event": "weights_file", "not_loaded": classifier.not_loaded})
    classifier = classifier.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = spec.recipe.epochs * feed.steps
    stepper = Stepper(classifier, spec, steps=steps, class_weights=feed.class_weights)
    every_steps = spec.execution.checkpoint_steps
    with CheckpointWriter(attempt.out, attempt.training, every_steps=every_steps, report=attempt.log) as checkpoints:
        around = Surroundings(attempt.log, attempt.stop, checkpoints, attempt.started)
        loop = Loop(stepper, feed, lambda network: evaluate(network, validation, spec, device), around)
        if checkpoint is not None:
            loop.resume(checkpoint)
        loop.run()
    return loop


def new_classifier(spec: TrainingSpec, feed: Feed) -> Classifier:
    """Return the network as it is before its first step, on the CPU."""
    classifier = build_classifier(spec)
    mean, scale = pixel_statistics(feed.pixels)
    classifier.mean.copy_(mean)
    classifier.scale.copy_(scale)
    adapt_to(classifier, feed.sample(SAMPLE))
    return classifier


def finish(attempt: Attempt, loop: Loop) -> TrainedModel:
    """Write what the training came to, result.json last, and remove its checkpoints.

    Raises:
        TrainingError: it could not be written.
    """
    with telling_a_full_disk(attempt.out):
        result = write_files(attempt, loop)
    shutil.rmtree(attempt.out / FOLDER, ignore_errors=True)
    attempt.log({"event": "end", "weights_sha256": result.weights_sha256, "seconds": result.seconds})
    return result


def write_files(attempt: Attempt, loop: Loop) -> TrainedModel:
    """Write the model's files, and result.json as the last."""
    spec = attempt.spec
    served = save(loop.stepper.averaged, spec, attempt.out)
    attempt.log.complete()
    result = TrainedModel(
        folder=attempt.out,
        architecture=spec.recipe.architecture,
        channels=spec.channels,
        size_px=spec.size_px,
        classes=spec.classes,
        embedding_size=served.projection.shape[1],
        weights_sha256=weights_sha256(served.classifier.state_dict()),
        seed=spec.seed,
        seconds=loop.seconds,
        validation_accuracy=loop.epochs[-1]["validation_accuracy"],
        hardware=attempt.machine.hardware,
        versions=attempt.machine.versions,
    )
    write_result(result)
    return result
