"""Out of memory: which batch size would fit, found by trying on a throwaway copy of the network."""

import gc
import itertools
from collections.abc import Callable

import torch

from tasks.errors import TrainingError
from tasks.training.network import adapt_to, build_classifier
from tasks.training.schedule import MIN_STEPS
from tasks.training.spec import TrainingSpec
from tasks.training.step import Stepper

SIGNS = (
    "allocate memory",
    "out of memory",
    "bad allocation",
    "could not create a memory object",
    "could not create a primitive",
)
SMALLEST = 2  # batch normalisation needs two
REFINEMENTS = 3  # after the halving: the answer is within an eighth of the largest that fits
TRIED_STEPS = 2  # the optimizer takes its memory in the first, so the second has all of it


def out_of_memory(error: BaseException) -> str:
    """Return what an error says where it is about memory, else nothing."""
    said = (str(error).splitlines() or [""])[0]
    kinds = (torch.OutOfMemoryError, MemoryError)
    return (said or "out of memory") if isinstance(error, kinds) or any(sign in str(error) for sign in SIGNS) else ""


def explain_out_of_memory(said: str, spec: TrainingSpec, device: torch.device) -> TrainingError:
    """Return the error that names the batch size that would fit beside what is in memory now, the images."""
    wanted = spec.recipe.batch_size
    fitting = find_fitting(wanted, lambda size: fits(size, spec, device))
    advice = (
        f"training.batch_size = {fitting} fits"
        if fitting
        else f"not even {SMALLEST} images fit: choose a smaller training.architecture or model.size_px"
    )
    return TrainingError(f"out of memory with training.batch_size = {wanted} on {device.type}: {advice} ({said})")


def find_fitting(wanted: int, fits: Callable[[int], bool]) -> int:
    """Return a batch size below `wanted` that fits, close to the largest; 0 where none does."""
    largest = wanted
    for size in itertools.takewhile(lambda size: size >= SMALLEST, (wanted >> bits for bits in itertools.count(1))):
        if fits(size):
            return refine(size, largest, fits)
        largest = size
    return 0


def refine(fitting: int, too_large: int, fits: Callable[[int], bool]) -> int:
    """Return a larger size than `fitting` that fits, where bisection finds one."""
    for _ in range(REFINEMENTS):
        middle = (fitting + too_large) // 2
        if middle == fitting:
            break
        fitting, too_large = (middle, too_large) if fits(middle) else (fitting, middle)
    return fitting


def fits(size: int, spec: TrainingSpec, device: torch.device) -> bool:
    """Tell whether steps with batches of `size` find the memory that they need."""
    try:
        try_steps(size, spec, device)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        is_fitting = False
    else:
        is_fitting = True
    gc.collect()  # a failed step leaves circles that hold its tensors
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return is_fitting


def try_steps(size: int, spec: TrainingSpec, device: torch.device) -> None:
    """Train a fresh network for some steps on black images."""
    classifier = build_classifier(spec)
    black = torch.zeros(SMALLEST, spec.channels, spec.size_px, spec.size_px, dtype=torch.uint8)
    adapt_to(classifier, black)  # what it freezes takes no memory for gradients
    classifier = classifier.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    stepper = Stepper(classifier, spec, steps=MIN_STEPS)
    images = black[:1].to(device).expand(size, -1, -1, -1).contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(size, dtype=torch.int64, device=device)
    for _ in range(TRIED_STEPS):
        stepper.step(images, labels)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
