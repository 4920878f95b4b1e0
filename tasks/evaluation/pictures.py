"""Pictures of a training and of a model's mistakes, as PNG files that MLflow shows beside the run.

Each is a matplotlib `Figure` of its own, never pyplot's global one: pictures may be drawn in any thread.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from tasks.evaluation.scores import Scores

DPI = 110
MAX_COUNTED_CLASSES = 30  # beyond, counts in the cells cannot be read
TRAIN, VALIDATION, MUTED = "#8a8f98", "#1f6feb", "#57606a"
_PANELS = {
    "loss": ("loss", (("train_loss", "train", TRAIN), ("validation_loss", "validation", VALIDATION))),
    "accuracy": ("accuracy", (("train_accuracy", "train", TRAIN), ("validation_accuracy", "validation", VALIDATION))),
    "rate": ("learning rate", (("learning_rate", "", MUTED),)),
}


@dataclass(frozen=True)
class Curve:
    """One line of a panel: its points and how it looks."""

    label: str
    colour: str
    epochs: list[float]
    values: list[float]


def draw_learning_curves(events: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw loss, accuracy and learning rate by epoch.

    Each event that has `epoch` may have any of train_loss, validation_loss, train_accuracy,
    validation_accuracy and learning_rate; a panel without values is left out.
    """
    panels = {title: found for title, lines in _PANELS.values() if (found := _curves(events, lines))}
    figure = Figure(figsize=(4.6 * max(len(panels), 1), 3.6), dpi=DPI, layout="constrained")
    for column, (title, curves) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), column + 1)
        for curve in curves:
            axes.plot(curve.epochs, curve.values, "o-", color=curve.colour, label=curve.label, markersize=4)
        axes.set_title(title, loc="left", fontsize=12, fontweight="bold")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if len(curves) > 1 or curves[0].label:
            axes.legend(frameon=False)
        if title == "accuracy":
            _mark_last(axes, curves[-1])
    _save(figure, path)


def _curves(events: Sequence[Mapping[str, Any]], lines: Sequence[tuple[str, str, str]]) -> list[Curve]:
    curves = []
    for key, label, colour in lines:
        points = [(event["epoch"], event[key]) for event in events if event.get(key) is not None and "epoch" in event]
        if points:
            curves.append(Curve(label, colour, [x for x, _ in points], [y for _, y in points]))
    return curves


def _mark_last(axes: Axes, curve: Curve) -> None:
    """Write the last value beside its point."""
    text = f"{curve.values[-1]:.2%}"
    axes.annotate(
        text,
        (curve.epochs[-1], curve.values[-1]),
        xytext=(-4, -16),
        textcoords="offset points",
        ha="right",
        color=curve.colour,
        fontweight="bold",
    )


def draw_confusion(confusion: NDArray[np.int64], classes: Sequence[str], path: Path) -> None:
    """Draw a confusion matrix (K, K), a row a true class: counts as text, each row's shares as colour."""
    count = len(classes)
    side = min(max(4.0, 0.62 * count), 22.0)
    figure = Figure(figsize=(side + 2.6, side + 1.6), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    totals = confusion.sum(axis=1, keepdims=True)
    shares = np.divide(confusion, totals, out=np.zeros(confusion.shape), where=totals > 0)
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))  # a few per cent must be seen
    axes.set_xticks(range(count), classes, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(count), classes)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    right, total = int(np.trace(confusion)), int(totals.sum())
    axes.set_title(f"{right:,} of {total:,} images right", loc="left", fontsize=12, fontweight="bold")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.7, aspect=28, format="{x:.0%}")
    if count <= MAX_COUNTED_CLASSES:
        for row, column in np.argwhere(confusion > 0):
            colour = "white" if shares[row, column] > 0.4 else "#24292f"
            text = f"{confusion[row, column]:d}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    _save(figure, path)


def draw_worst(images: NDArray[np.uint8], scores: Scores, path: Path, *, columns: int = 6, rows: int = 4) -> None:
    """Draw the images with the highest loss, worst first, with the true class and what the model said.

    `images` (N, C, S, S) uint8 are those of `scores`, in its order.
    """
    worst = rank_by_loss(scores)[: columns * rows]
    columns = max(min(columns, len(worst)), 3)  # the heading needs three
    lines = max(-(-len(worst) // columns), 1)
    figure = Figure(figsize=(1.75 * columns, 2.2 * lines + 0.4), dpi=DPI, layout="constrained")
    heading = "highest loss: true class, then what the model said" if len(worst) else "no image was classified wrongly"
    figure.suptitle(heading, x=0.01, ha="left", fontweight="bold")
    for place, index in enumerate(worst):
        axes = figure.add_subplot(lines, columns, place + 1)
        pixels = images[index, 0] if images.shape[1] == 1 else images[index].transpose(1, 2, 0)
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        said = f"{_short(scores.predicted[index])} {scores.probabilities[index].max():.0%}"
        axes.set_title(_short(scores.labels[index]), fontsize=9, fontweight="bold", pad=3)
        axes.set_xlabel(said, fontsize=9, color="#cf222e", labelpad=3)
        axes.set_xticks([])
        axes.set_yticks([])
    _save(figure, path)


def rank_by_loss(scores: Scores) -> NDArray[np.intp]:
    """Return the rows of wrongly classified images, the least probable true class first."""
    rows = np.arange(len(scores.ids))
    column = scores.label_indices
    given = np.where(column >= 0, scores.probabilities[rows, column], 0.0)  # a class it does not know gets nothing
    wrong = np.flatnonzero(scores.predicted != scores.labels)
    return wrong[np.argsort(given[wrong], kind="stable")]


def _short(name: str, length: int = 20) -> str:
    """Return a class name that fits above one image."""
    return name if len(name) <= length else name[: length - 1] + "…"


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    figure.savefig(path, facecolor="white")
