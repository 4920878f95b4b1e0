"""A finished bundle: complete, honest, the same each time; never half of one, never one of a broken model."""

import dataclasses
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from serving.bundle.contract import bundle_digest, read_contract, verify_files
from serving.bundle.golden import check_golden
from serving.bundle.module import load_module
from serving.records import COLUMNS, STATISTICS
from tasks.data.dataset import Split
from tasks.data.pixels import open_pixels
from tasks.errors import TrainingError
from tasks.evaluation import finish
from tasks.evaluation.finish import answer_images, finish_bundle, to_image, vary_shape
from tasks.evaluation.metrics import measure
from tasks.evaluation.scores import score_module
from tasks.training.network import load_eager
from tests.evaluation.conftest import CLASSES, COUNTS, DIGEST, write_pixels

TOLERANCE = 0.0005


def finish_into(folder, trained, **changes):
    model = dataclasses.replace(trained.model, **changes)
    return finish_bundle(model, trained.pixels, folder=folder, data_digest=DIGEST, tolerance=TOLERANCE)


@pytest.fixture(scope="module")
def bundle(trained, tmp_path_factory):
    return finish_into(tmp_path_factory.mktemp("bundles") / "bundle", trained)


def test_bundle_is_complete_and_says_what_it_is(trained, bundle):
    contract = read_contract(bundle.folder)
    assert contract == bundle.contract
    verify_files(bundle.folder, contract, served_only=False)
    assert bundle.digest == bundle_digest(bundle.folder)
    assert (contract.classes, contract.data_digest, contract.tolerance) == (CLASSES, DIGEST, TOLERANCE)
    assert contract.weights_sha256 == trained.model.weights_sha256
    assert [file.path for file in contract.files if not file.is_served] == ["reference.parquet"]
    on_disk = {str(path.relative_to(bundle.folder)) for path in bundle.folder.rglob("*") if path.is_file()}
    assert on_disk == {file.path for file in contract.files} | {"contract.json"}


def test_temperature_is_in_the_module_and_lowers_the_validation_loss(trained, bundle):
    module = load_module(bundle.folder / "model.pt")
    assert float(module.temperature) == bundle.contract.temperature != 1.0
    assert float(load_module(trained.model.folder / "model.pt").temperature) == 1.0
    validation = open_pixels(trained.pixels, Split.VALIDATION)
    losses = []
    for folder in (trained.model.folder, bundle.folder):
        probabilities, _ = score_module(folder / "model.pt", validation.images)
        losses.append(measure(validation.labels, probabilities, CLASSES).log_loss)
    assert losses[1] < losses[0]


def test_golden_answers_are_the_eager_models_in_four_shapes_and_kinds(trained, bundle):
    eager = load_eager(trained.model.folder)
    eager.set_temperature(bundle.contract.temperature)
    shapes = []

    def answer(images):
        shapes.extend(image.shape for image in images)
        return np.stack([answer_images(eager, [image])[0] for image in images])  # one by one, as they were made

    check_golden(bundle.folder, answer, 0.0)  # the very same numbers
    assert len(shapes) == 16
    assert set(shapes) == {(28, 28), (56, 56), (28, 25), (28, 28, 3)}
    suffixes = [path.suffix for path in sorted((bundle.folder / "golden").iterdir()) if path.stem.isdigit()]
    assert suffixes == [".npy", ".png", ".npy", ".jpg"] * 4
    assert len(set(zip(shapes, [i % 4 for i in range(16)], strict=True))) == 16


def test_reference_holds_validation_images_only(trained, bundle):
    table = pq.read_table(bundle.folder / "reference.parquet")
    validation = open_pixels(trained.pixels, Split.VALIDATION)
    assert table.schema.names == [column.name for column in COLUMNS]
    assert [field.nullable for field in table.schema] == [column.is_nullable for column in COLUMNS]
    rows = table.to_pylist()
    assert [row["request_id"] for row in rows] == [value.decode() for value in validation.ids]
    assert [row["label"] for row in rows] == [CLASSES[label] for label in validation.labels]
    probabilities, embeddings = score_module(bundle.folder / "model.pt", validation.images)
    assert [row["predicted_class"] for row in rows] == [CLASSES[index] for index in probabilities.argmax(axis=1)]
    np.testing.assert_allclose([row["confidence"] for row in rows], probabilities.max(axis=1), rtol=1e-6)
    np.testing.assert_allclose([row["embedding"] for row in rows], embeddings, rtol=1e-5, atol=1e-5)
    assert {row["time"] for row in rows} == {None}
    for name in STATISTICS.names:  # those of the images as sent: here they were larger than the map's
        assert [row[name] for row in rows] == validation.statistics[name].tolist()
    assert {(row["height"], row["width"]) for row in rows} == {(56, 56)}


def test_reference_of_many_images_is_spread_evenly():
    rows = finish.choose_rows(12_345)
    assert len(rows) == len(set(rows)) == 5_000
    assert (rows[0], rows[-1]) == (0, 12_344)
    assert set(np.diff(rows)) == {2, 3}
    assert finish.choose_rows(3).tolist() == [0, 1, 2]
    assert finish.choose_rows(0).tolist() == []


def test_finishing_twice_gives_the_same_bundle(trained, bundle, tmp_path):
    assert finish_into(tmp_path / "again", trained).digest == bundle.digest


def test_a_bundle_is_never_replaced(trained, tmp_path):
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "contract.json").write_text("an older bundle")
    with pytest.raises(TrainingError, match=r"bundle is there already, .* remove it, or train anew"):
        finish_into(folder, trained)
    assert [path.name for path in tmp_path.rglob("*")] == ["bundle", "contract.json"]
    assert (folder / "contract.json").read_text() == "an older bundle"


STEPS = ("_write_module", "_write_golden", "_check_answers", "_write_reference", "write_contract")


@pytest.mark.parametrize("step", STEPS)
def test_killed_step_leaves_no_bundle_and_the_next_one_succeeds(trained, bundle, tmp_path, monkeypatch, step):
    def die(*arguments, **options):
        raise KeyboardInterrupt  # as unkind to clean-up as a kill: nothing here catches it

    folder = tmp_path / "bundle"
    with monkeypatch.context() as patch:
        patch.setattr(finish, step, die)
        with pytest.raises(KeyboardInterrupt):
            finish_into(folder, trained)
    assert not folder.exists()
    assert finish_into(folder, trained).digest == bundle.digest
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def break_module(trained, folder, change):
    """Copy a training, let `change` alter the TorchScript module in it, and return what evaluation would get."""
    shutil.copytree(trained.model.folder, folder)
    module = load_module(folder / "model.pt")
    with torch.no_grad():
        change(dict(module.named_parameters()), module)
    module.save(str(folder / "model.pt"))
    return dataclasses.replace(trained, model=dataclasses.replace(trained.model, folder=folder))


def put_nan(parameters, module):
    parameters["classifier.head.bias"][1] = torch.nan


def put_overflow(parameters, module):
    parameters["classifier.head.weight"].fill_(3e38)


def shift_answers(parameters, module):
    parameters["classifier.head.bias"][1] += 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put_nan, r"1 of 10 numbers in classifier\.head\.bias are not finite"),
        (put_overflow, r"60 of 60 validation images get probabilities that are not finite"),
        (
            shift_answers,
            r"answers otherwise than the eager model: \d+ of 16 golden answers are wrong.*differs by 0\.\d+",
        ),
    ],
    ids=["NaN parameter", "finite parameters that overflow", "other answers than eager"],
)
def test_broken_model_gives_no_bundle(trained, tmp_path, change, message):
    broken = break_module(trained, tmp_path / "model", change)
    with pytest.raises(TrainingError, match=message):
        finish_into(tmp_path / "bundle", broken)
    assert not (tmp_path / "bundle").exists()


def test_other_classes_are_refused(trained, tmp_path):
    with pytest.raises(TrainingError, match=r"the model knows \('hat',\), the data has \('ankle-boot'"):
        finish_into(tmp_path / "bundle", trained, classes=("hat",))


def test_no_validation_images_are_refused(trained, tmp_path):
    pixels = write_pixels(tmp_path / "pixels", COUNTS | {Split.VALIDATION: 0})
    with pytest.raises(TrainingError, match="no validation images"):
        finish_into(tmp_path / "bundle", dataclasses.replace(trained, pixels=pixels))


@pytest.mark.parametrize("channels", [1, 3])
def test_images_and_shapes_keep_pixels(channels):
    pixels = np.arange(channels * 64, dtype=np.uint8).reshape(channels, 8, 8)
    image = to_image(pixels)
    assert image.shape == ((8, 8) if channels == 1 else (8, 8, 3))
    np.testing.assert_array_equal(image.reshape(8, 8, channels).transpose(2, 0, 1), pixels)
    other = (8, 8, 3) if channels == 1 else (8, 8)
    assert [vary_shape(image, number).shape[:2] for number in range(4)] == [(8, 8), (16, 16), (8, 7), (8, 8)]
    assert vary_shape(image, 3).shape == other
