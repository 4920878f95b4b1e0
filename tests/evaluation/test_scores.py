"""Scores: batches change nothing, names are right, and the file gives back what it got."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tasks.data.dataset import Split
from tasks.data.pixels import open_pixels
from tasks.errors import DataError
from tasks.evaluation.scores import Scores, read_predictions, score_module, score_split, write_predictions
from tests.evaluation.conftest import CLASSES

NAMES = ("bag", "coat", "sandal", "trouser")


def make_scores(probabilities, labels):
    ids = np.array([f"{number:064x}" for number in range(len(labels))])
    return Scores(ids, np.asarray(labels, dtype=np.str_), NAMES, np.asarray(probabilities, dtype=np.float32), "test")


def test_batches_change_no_answer(trained):
    images = open_pixels(trained.pixels, Split.TEST).images
    whole = score_module(trained.model.folder / "model.pt", images)
    parts = score_module(trained.model.folder / "model.pt", images, batch=7)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert (whole[0].shape, whole[1].shape) == ((60, 10), (60, trained.model.embedding_size))
    assert whole[0].dtype == whole[1].dtype == np.float32


def test_no_images_have_scores_of_the_right_shape(trained):
    probabilities, embeddings = score_module(trained.model.folder / "model.pt", np.empty((0, 1, 28, 28), np.uint8))
    assert (probabilities.shape, embeddings.shape) == ((0, 10), (0, trained.model.embedding_size))


def test_scoring_leaves_the_threads_alone(trained):
    before = torch.get_num_threads()
    score_module(trained.model.folder / "model.pt", np.zeros((3, 1, 28, 28), np.uint8))
    assert torch.get_num_threads() == before


def test_split_scores_carry_names_and_better_than_chance(trained):
    scores = score_split(trained.model.folder / "model.pt", CLASSES, trained.pixels, split=Split.TEST)
    arrays = open_pixels(trained.pixels, Split.TEST)
    assert scores.split == "test"
    assert scores.ids.tolist() == [value.decode() for value in arrays.ids]
    assert scores.label_indices.tolist() == arrays.labels.tolist()
    assert (scores.predicted == scores.labels).mean() > 0.3  # chance is 0.1


def test_predicted_is_a_name_and_never_one_for_nan():
    scores = make_scores([[0.1, 0.7, 0.1, 0.1], [np.nan, 0.7, 0.1, 0.1], [np.inf, 0, 0, 0]], ["coat", "bag", "bag"])
    assert scores.predicted.tolist() == ["coat", "", ""]


def test_unknown_labels_have_no_column():
    scores = make_scores(np.full((2, 4), 0.25), ["hat", "coat"])
    assert scores.label_indices.tolist() == [-1, 1]


@pytest.mark.parametrize(("rows", "columns", "labels"), [(2, 4, 3), (3, 3, 3)], ids=["a row less", "a class less"])
def test_scores_that_do_not_fit_are_refused(rows, columns, labels):
    with pytest.raises(DataError, match=rf"probabilities of shape \({rows}, {columns}\)"):
        make_scores(np.full((rows, columns), 0.25), ["bag"] * labels)


@pytest.mark.parametrize("count", [0, 1, 50])
def test_predictions_come_back_as_they_were(tmp_path, count):
    generator = np.random.default_rng(3)
    labels = generator.choice([*NAMES, "hat"], count)
    written = make_scores(generator.dirichlet(np.ones(4), count).reshape(count, 4), labels)
    write_predictions(written, tmp_path / "predictions.parquet")
    read = read_predictions(tmp_path / "predictions.parquet")
    assert read.classes == written.classes
    assert read.ids.tolist() == written.ids.tolist()
    assert read.labels.tolist() == written.labels.tolist()
    np.testing.assert_array_equal(read.probabilities, written.probabilities)
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.parquet"]


def test_file_without_predictions_is_refused(tmp_path):
    path = tmp_path / "predictions.parquet"
    for write in (lambda: None, lambda: path.write_text("no"), lambda: pq.write_table(pa.table({"id": ["a"]}), path)):
        write()
        with pytest.raises(DataError, match=r"predictions\.parquet holds no predictions: .*; score the model again"):
            read_predictions(path)
