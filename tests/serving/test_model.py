import dataclasses
import json
import re
import shutil
import threading
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import serving.model
from serving.bundle.contract import (
    MODULE,
    BundleError,
    bundle_digest,
    describe_file,
    read_contract,
    verify_files,
    write_contract,
)
from serving.bundle.module import script_module
from serving.model import Model, ModelError
from tests.bundles import EMBEDDING_SIZE, make_images, make_tiny_bundle
from tests.serving.files import random_image

WRONG = [1.0, 0, 0, 0, 0, 0, 0]
NAN = [float("nan")] * 7


@pytest.fixture
def folder(tiny_bundle, tmp_path):
    """A copy of the bundle, to be damaged."""
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


@pytest.fixture(scope="module")
def model(tiny_bundle) -> Model:
    return Model.load(tiny_bundle, threads=1, max_batch=4)


def sign_again(folder, **changes):
    """Write the contract anew for the files as they are, so that only what they hold can be refused."""
    contract = read_contract(folder)
    files = tuple(describe_file(folder, file.path, is_served=file.is_served) for file in contract.files)
    write_contract(folder, dataclasses.replace(contract, files=files, **changes))


def replace_module(folder, module: nn.Module):
    script_module(module.eval()).save(str(folder / MODULE))
    sign_again(folder)


def replace_file(folder, data: bytes):
    (folder / MODULE).write_bytes(data)
    sign_again(folder)


class WithoutPreprocess(nn.Module):
    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return batch


class Answering(nn.Module):
    """Answers every image alike."""

    def __init__(self, probabilities: list[float]) -> None:
        super().__init__()
        self.register_buffer("probabilities", torch.tensor(probabilities))

    @torch.jit.export
    def preprocess(self, image: torch.Tensor) -> torch.Tensor:
        return image[:1, :28, :28]

    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.probabilities.expand(batch.size(0), -1), torch.zeros(batch.size(0), 8)


class Failing(Answering):
    """Fails at every image."""

    def __init__(self) -> None:
        super().__init__(WRONG)

    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.probabilities.view(3, 3), batch


def test_it_answers_and_says_what_it_is(model, tiny_bundle):
    answer = model.predict([*make_images(9, seed=3), random_image(40, 50), random_image(28, 28, channels=1)])
    assert answer.probabilities.shape == (11, len(model.contract.classes))
    assert answer.embeddings.shape == (11, EMBEDDING_SIZE)
    assert {answer.probabilities.dtype, answer.embeddings.dtype} == {np.dtype(np.float32)}
    np.testing.assert_allclose(answer.probabilities.sum(axis=1), 1, atol=1e-5)
    assert model.digest == bundle_digest(tiny_bundle)


def test_an_answer_depends_neither_on_its_batch_nor_on_its_thread(model):
    images = make_images(30, seed=4)
    alone = np.concatenate([model.predict([image]).probabilities for image in images])
    answers = {}

    def ask(number):
        answers[number] = model.predict(images[number:]).probabilities

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(0, 30, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 6
    for number, answer in answers.items():
        np.testing.assert_allclose(answer, alone[number:], atol=1e-6)


def test_another_seed_is_another_model(tiny_bundle, model, tmp_path):
    other = Model.load(make_tiny_bundle(tmp_path, seed=1, classes=model.contract.classes), threads=1)
    images = make_images(3, seed=5)
    assert np.abs(other.predict(images).probabilities - model.predict(images).probabilities).max() > 0.01
    assert other.digest != model.digest


def test_a_colour_model(tmp_path):
    colour = Model.load(make_tiny_bundle(tmp_path, channels=3, size_px=16, classes=("a", "b")), threads=1)
    assert colour.predict([random_image(16, 16), random_image(9, 9, channels=1)]).probabilities.shape == (2, 2)


def test_a_module_that_cannot_be_optimised_is_served_as_it_is(tiny_bundle, model, monkeypatch, caplog):
    monkeypatch.setattr(serving.model, "optimise_module", lambda _: script_module(Answering(WRONG)))
    plain = Model.load(tiny_bundle, threads=1)
    images = make_images(3, seed=5)
    np.testing.assert_allclose(plain.predict(images).probabilities, model.predict(images).probabilities, atol=1e-6)
    assert "serving the module as it is: optimised for inference, 8 of 8 golden answers are wrong" in caplog.text


def test_loading_warns_of_nothing(tiny_bundle):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Model.load(tiny_bundle, threads=1)


def test_an_answer_that_is_not_finite_is_an_error(model, monkeypatch):
    broken = script_module(Answering(NAN))
    monkeypatch.setattr(model, "_module", broken)
    with pytest.raises(ModelError, match=f"an answer of the model {model.digest[:12]} is not finite"):
        model.predict(make_images(1, seed=1))


def alter(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def edit_contract(folder, **changes):
    values = json.loads((folder / "contract.json").read_text())
    (folder / "contract.json").write_text(json.dumps({**values, **changes}))


def leave_out(folder, path):
    contract = read_contract(folder)
    files = tuple(file for file in contract.files if file.path != path)
    write_contract(folder, dataclasses.replace(contract, files=files))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (shutil.rmtree, "is no bundle: it has no contract.json"),
        (lambda folder: (folder / "contract.json").write_text("{"), "contract.json is not JSON: "),
        (lambda folder: edit_contract(folder, format=2), "has format 2; this code reads 1"),
        (lambda folder: edit_contract(folder, surprise=1), "fields that this code does not know: surprise"),
        (lambda folder: (folder / MODULE).unlink(), "model.pt is missing: the contract names it"),
        (lambda folder: alter(folder / MODULE), "model.pt was altered: SHA-256 "),
        (lambda folder: alter(folder / "golden/001.png"), "001.png was altered: SHA-256 "),
        (lambda folder: leave_out(folder, "golden/001.png"), "does not list golden/001.png as served"),
        (lambda folder: sign_again(folder, classes=("a", "b")), "28), 7, 8); the contract says ((1, 28, 28), 2, 8)"),
        (lambda folder: sign_again(folder, embedding_size=9), "28), 7, 8); the contract says ((1, 28, 28), 7, 9)"),
        (lambda folder: sign_again(folder, size_px=20), "28), 7, 8); the contract says ((1, 20, 20), 7, 8)"),
        (lambda folder: sign_again(folder, channels=3), "28), 7, 8); the contract says ((3, 28, 28), 7, 8)"),
        (lambda folder: replace_module(folder, WithoutPreprocess()), "model.pt has no method preprocess(image)"),
        (lambda folder: replace_module(folder, Answering(WRONG)), "8 of 8 golden answers are wrong"),
        (lambda folder: replace_module(folder, Answering(NAN)), "model.pt cannot answer: an answer of the model"),
        (lambda folder: replace_module(folder, Failing()), "model.pt cannot answer: "),
        (lambda folder: replace_file(folder, b"pickle"), "model.pt is no TorchScript module for cpu: "),
    ],
    ids=[
        "no bundle", "contract cut", "unknown format", "unknown key", "no module", "module altered",
        "golden altered", "golden not listed", "other classes", "other embedding", "other size", "other channels",
        "no preprocess", "wrong answers", "not a number", "fails", "no module format",
    ],
)  # fmt: skip
def test_bundles_that_are_refused(folder, damage, sentence):
    damage(folder)
    with pytest.raises(BundleError, match=re.escape(sentence)):
        Model.load(folder, threads=1)


def test_a_server_needs_only_what_is_served(folder):
    (folder / "reference.parquet").unlink()
    assert Model.load(folder, threads=1).digest == bundle_digest(folder)
    with pytest.raises(BundleError, match=r"reference.parquet is missing"):
        verify_files(folder, read_contract(folder), served_only=False)
