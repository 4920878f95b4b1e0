"""Pictures: each is a PNG of a sensible size, also from what is little, much or missing."""

import numpy as np
import pytest
from PIL import Image

from tasks.evaluation.pictures import draw_confusion, draw_learning_curves, draw_worst, rank_by_loss
from tasks.evaluation.scores import Scores

EPOCH = {"event": "epoch", "epoch": 1, "train_loss": 0.9, "validation_accuracy": 0.8, "learning_rate": 0.01}
CLASSES = ("bag", "coat", "hat")


def size_of(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert len(picture.convert("L").getcolors()) > 10  # something is drawn
        return picture.size


@pytest.mark.parametrize(
    ("events", "panels"),
    [
        ([EPOCH, EPOCH | {"epoch": 2, "train_loss": 0.5}], 3),
        ([EPOCH], 3),
        ([{"event": "start"}, {"epoch": 1, "train_loss": 0.9, "validation_accuracy": None}], 1),
    ],
    ids=["two epochs", "one epoch", "only a loss"],
)
def test_learning_curves_have_a_panel_for_what_was_measured(tmp_path, events, panels):
    draw_learning_curves(events, tmp_path / "curves.png")
    width, height = size_of(tmp_path / "curves.png")
    assert width == pytest.approx(panels * 506, abs=panels)
    assert height == 396


def test_no_events_give_an_empty_picture(tmp_path):
    draw_learning_curves([], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 0


@pytest.mark.parametrize("count", [1, 2, 10, 40])
def test_confusion_is_drawn_for_any_number_of_classes(tmp_path, count):
    confusion = np.eye(count, dtype=np.int64) * 90 + 1
    confusion[0] = 0  # a class without test images
    draw_confusion(confusion, [f"class {number}" for number in range(count)], tmp_path / "confusion.png")
    width, height = size_of(tmp_path / "confusion.png")
    assert width > height > 500


def make_scores(probabilities, labels):
    ids = np.array([f"{number:064d}" for number in range(len(labels))])
    return Scores(ids, np.array(labels), CLASSES, np.array(probabilities, dtype=np.float32), "test")


def test_worst_are_the_wrong_ones_with_the_least_probable_truth_first():
    scores = make_scores(
        [[0.5, 0.3, 0.2], [0.6, 0.1, 0.3], [0.98, 0.01, 0.01], [0.4, 0.3, 0.3], [0.4, 0.5, 0.1]],
        ["bag", "coat", "hat", "scarf", "bag"],
    )
    assert rank_by_loss(scores).tolist() == [3, 2, 1, 4]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("wrong", [0, 1, 30])
def test_worst_are_drawn_for_grey_and_colour(tmp_path, channels, wrong):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (40, channels, 28, 28), dtype=np.uint8)
    scores = make_scores([[0.7, 0.2, 0.1]] * 40, ["a class with a very long name"] * wrong + ["bag"] * (40 - wrong))
    draw_worst(images, scores, tmp_path / "worst.png")
    width, _ = size_of(tmp_path / "worst.png")
    assert width <= 6 * 1.75 * 110 + 1
