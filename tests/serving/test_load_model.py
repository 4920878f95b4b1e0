"""Which bundles are served, which module of them, and which are refused."""

import dataclasses
import json
import re
import shutil
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import serving.load_model
from serving.bundle.contract import (
    MODULE,
    BundleError,
    bundle_digest,
    describe_file,
    read_contract,
    verify_files,
    write_contract,
)
from serving.bundle.golden import write_golden
from serving.bundle.module import script_module
from serving.load_model import load_model
from tests.bundles import TinyNetwork, make_images, make_tiny_bundle
from tests.serving.files import random_image
from tests.serving.modules import NAN, WRONG, Answering, Failing, WithoutPreprocess


@pytest.fixture
def folder(tiny_bundle, tmp_path):
    """A copy of the bundle, to be damaged."""
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


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


def test_a_colour_model(tmp_path):
    colour = load_model(make_tiny_bundle(tmp_path, channels=3, size_px=16, classes=("a", "b")), threads=1)
    assert colour.predict([random_image(16, 16), random_image(9, 9, channels=1)]).probabilities.shape == (2, 2)
    assert colour.is_fast


def test_the_optimised_module_is_served(tiny_bundle, monkeypatch, caplog):
    made = []
    optimise = serving.load_model.optimise_module

    def remember(module):
        made.append(optimise(module))
        return made[-1]

    monkeypatch.setattr(serving.load_model, "optimise_module", remember)
    monkeypatch.setattr(serving.load_model, "is_slower", lambda model, other: False)
    assert load_model(tiny_bundle, threads=1)._module is made[0]
    assert not caplog.records


def test_a_module_that_cannot_be_optimised_is_served_as_it_is(tiny_bundle, monkeypatch, caplog):
    images = make_images(3, seed=5)
    expected = load_model(tiny_bundle, threads=1).predict(images).probabilities
    monkeypatch.setattr(serving.load_model, "optimise_module", lambda _: script_module(Answering(WRONG)))
    plain = load_model(tiny_bundle, threads=1)
    np.testing.assert_allclose(plain.predict(images).probabilities, expected, atol=1e-6)
    assert "serving the module as it is: optimised for inference, 8 of 8 golden answers are wrong" in caplog.text


def test_a_module_that_is_slower_when_optimised_is_served_as_it_is(tiny_bundle, monkeypatch, caplog):
    rounds = []

    def seconds_of(calls, clock):
        """As if the optimised module, which is named first, took a tenth more."""
        rounds.append([call() for call in calls])
        return [1.1, 1.0]

    monkeypatch.setattr(serving.load_model, "seconds_of", seconds_of)
    plain = load_model(tiny_bundle, threads=1)
    assert "serving the module as it is: optimised for inference, it is slower" in caplog.text
    assert plain.is_fast
    assert len(rounds) == 1


@pytest.mark.parametrize(
    ("seconds", "is_slower"),
    [
        ([[1.0, 1.0], [1.0, 1.0]], False),
        ([[1.04, 1.0], [1.04, 1.0]], False),
        ([[1.06, 1.0]], True),
        ([[0.5, 1.0], [1.06, 1.0]], True),
    ],
    ids=["alike", "within noise", "slower alone", "slower together"],
)
def test_slower(tiny_bundle, monkeypatch, seconds, is_slower):
    model = load_model(tiny_bundle, threads=1)
    left = list(seconds)
    monkeypatch.setattr(serving.load_model, "seconds_of", lambda calls, clock: left.pop(0))
    assert serving.load_model.is_slower(model, model) is is_slower
    assert not left


class Brightening(TinyNetwork):
    """Preprocessing that changes images which have the right shape already."""

    @torch.jit.export
    def preprocess(self, image: torch.Tensor) -> torch.Tensor:
        return 255 - self.preprocessing(image)


def test_images_are_prepared_where_preparation_changes_them(folder, tiny_bundle):
    assert load_model(tiny_bundle, threads=1).is_fast
    torch.manual_seed(0)
    network = Brightening(7, 1, 28).eval()

    def answer(image):
        with torch.inference_mode():
            prepared = network.preprocess(torch.from_numpy(image.copy()).unsqueeze(0))
            return network(prepared.unsqueeze(0))[0][0].numpy()

    write_golden(folder, make_images(8, seed=0), answer)
    replace_module(folder, network)
    model = load_model(folder, threads=1)
    assert not model.is_fast
    (image,) = make_images(1, seed=9)
    np.testing.assert_allclose(model.predict([image]).probabilities[0], answer(image), atol=1e-5)


def test_batches_are_no_larger_than_the_setting(tiny_bundle, monkeypatch):
    for most in (1, 5, 100):
        sizes = []

        def find_batch(predict, most, clock, sizes=sizes):
            predict(most)
            sizes.append(most)
            return most

        monkeypatch.setattr(serving.load_model, "find_batch", find_batch)
        assert load_model(tiny_bundle, threads=1, max_batch=most).batch == most
        assert sizes == [most]


def test_loading_warns_of_nothing(tiny_bundle):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_model(tiny_bundle, threads=1)


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


FOUND = "the shapes ((1, 28, 28), (2, 7), (2, 8)); the contract says "


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
        (lambda folder: sign_again(folder, classes=("a", "b")), FOUND + "((1, 28, 28), (2, 2), (2, 8))"),
        (lambda folder: sign_again(folder, embedding_size=9), FOUND + "((1, 28, 28), (2, 7), (2, 9))"),
        (lambda folder: sign_again(folder, size_px=20), FOUND + "((1, 20, 20), (2, 7), (2, 8))"),
        (lambda folder: sign_again(folder, channels=3), FOUND + "((3, 28, 28), (2, 7), (2, 8))"),
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
        load_model(folder, threads=1)


def test_a_server_needs_only_what_is_served(folder):
    (folder / "reference.parquet").unlink()
    assert load_model(folder, threads=1).digest == bundle_digest(folder)
    with pytest.raises(BundleError, match=r"reference.parquet is missing"):
        verify_files(folder, read_contract(folder), served_only=False)
