"""What a loaded model answers: batched as alone, fast as slow, each request for itself."""

import threading

import numpy as np
import pytest
import torch

from serving.bundle.contract import bundle_digest, read_contract
from serving.bundle.golden import read_golden
from serving.bundle.module import optimise_module, script_module
from serving.load_model import load_model
from serving.model import Model
from serving.prediction import ModelError, NoMemoryError
from tests.bundles import EMBEDDING_SIZE, TOLERANCE, make_images, make_tiny_bundle
from tests.serving.files import random_image
from tests.serving.modules import NAN, Answering, Convolutional, Fussy


@pytest.fixture(scope="module")
def model(tiny_bundle) -> Model:
    return load_model(tiny_bundle, threads=1, max_batch=4)


def model_of(module, bundle, batch=4) -> Model:
    """A model of any module, with a bundle's contract."""
    return Model(module, read_contract(bundle), "d" * 64, read_golden(bundle), device="cpu", batch=batch)


def marked(*values):
    """Images (28, 28) that begin with a value each."""
    images = np.zeros((len(values), 28, 28), dtype=np.uint8)
    images[:, 0, 0] = values
    return list(images)


def test_it_answers_and_says_what_it_is(model, tiny_bundle):
    answer = model.predict([*make_images(9, seed=3), random_image(40, 50), random_image(28, 28, channels=1)])
    assert answer.probabilities.shape == (11, len(model.contract.classes))
    assert answer.embeddings.shape == (11, EMBEDDING_SIZE)
    assert {answer.probabilities.dtype, answer.embeddings.dtype} == {np.dtype(np.float32)}
    np.testing.assert_allclose(answer.probabilities.sum(axis=1), 1, atol=1e-5)
    assert model.digest == bundle_digest(tiny_bundle)


@pytest.mark.parametrize("is_optimised", [True, False], ids=["optimised", "as it is"])
def test_batched_answers_are_those_of_images_alone(tiny_bundle, is_optimised):
    torch.manual_seed(0)
    module = script_module(Convolutional().eval())
    model = model_of(optimise_module(module) if is_optimised else module, tiny_bundle, batch=64)
    images = [random_image(28, 28, channels=1, seed=number) // (1 + number % 4) for number in range(64)]
    alone = [model.predict([image]) for image in images]
    expected = np.concatenate([answer.probabilities for answer in alone])
    neighbours = np.abs(np.diff(expected, axis=0)).max(axis=1)
    assert neighbours.min() > 2 * TOLERANCE  # so that a mix-up would show
    checked = 0
    for size in [*range(1, 20), 31, 32, 33, 63, 64]:
        answer = model.predict(images[-size:])
        np.testing.assert_allclose(answer.probabilities, expected[-size:], atol=TOLERANCE)
        np.testing.assert_allclose(
            answer.embeddings, np.concatenate([one.embeddings for one in alone[-size:]]), atol=TOLERANCE
        )
        checked += 1
    assert checked == 24


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


def test_an_answer_stays_when_the_next_one_is_given(model):
    images = make_images(2, seed=4)
    answer = model.predict(images[:1])
    before = answer.probabilities.copy()
    model.predict(images[1:])
    np.testing.assert_array_equal(answer.probabilities, before)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_that_need_no_preparation_get_the_same_answers(tmp_path, channels):
    model = load_model(make_tiny_bundle(tmp_path, channels=channels, size_px=16), threads=1, max_batch=8)
    images = make_images(5, seed=3, size_px=16, channels=channels)
    mixed = [images[0], random_image(9, 20), images[1], random_image(16, 16, channels=1), np.asfortranarray(images[2])]
    model.is_fast = False
    expected = [model.predict(group) for group in (images, mixed)]
    model.is_fast = True
    for group, wanted in zip((images, mixed), expected, strict=True):
        found = model.predict(group)
        np.testing.assert_array_equal(found.probabilities, wanted.probabilities)
        np.testing.assert_array_equal(found.embeddings, wanted.embeddings)


def test_images_of_the_networks_shape_are_not_prepared_again(model, monkeypatch):
    images = make_images(3, seed=1)
    expected = model.predict(images).probabilities
    monkeypatch.setattr(model, "preprocess", lambda image: pytest.fail(f"an image {image.shape} was prepared"))
    np.testing.assert_array_equal(model.predict(images).probabilities, expected)
    with pytest.raises(pytest.fail.Exception, match=r"an image \(29, 28\) was prepared"):
        model.predict([random_image(29, 28, channels=1)])


def test_a_batch_of_several_requests_is_split_among_them(model):
    requests = [make_images(count, seed=count) for count in (1, 3, 2)]
    answers = model.predict_each(requests)
    assert len(answers) == 3
    for images, answer in zip(requests, answers, strict=True):
        np.testing.assert_allclose(answer.probabilities, model.predict(images).probabilities, atol=1e-6)


def first_pixels(answer) -> list[int]:
    return answer.probabilities[:, 0].astype(int).tolist()


def test_an_answer_that_is_not_finite_is_its_own_requests_error_alone(tiny_bundle):
    model = model_of(script_module(Fussy()), tiny_bundle)
    one, bad, other = model.predict_each([marked(1), marked(2, 255), marked(3, 4)])
    assert [first_pixels(one), first_pixels(other)] == [[1], [3, 4]]
    assert isinstance(bad, ModelError)
    assert str(bad) == "an answer of the model dddddddddddd is not finite"


def test_an_image_that_the_module_fails_on_is_its_own_requests_error_alone(tiny_bundle):
    model = model_of(script_module(Fussy()), tiny_bundle)
    one, bad, other = model.predict_each([marked(1), marked(254), marked(3)])
    assert [first_pixels(one), first_pixels(other)] == [[1], [3]]
    assert isinstance(bad, ModelError)
    assert "the module of dddddddddddd failed: " in str(bad)
    assert "254 is too much" in str(bad)


def test_a_model_that_answers_nothing_finite_says_so(tiny_bundle):
    model = model_of(script_module(Answering(NAN)), tiny_bundle)
    with pytest.raises(ModelError, match="an answer of the model dddddddddddd is not finite"):
        model.predict(make_images(1, seed=1))


class Cramped:
    """A module that runs out of memory over more images than `most`; `text` is how its allocator says so."""

    def __init__(self, most: int, error: Exception) -> None:
        self.most = most
        self.error = error
        self.sizes: list[int] = []

    def preprocess(self, image):
        return image

    def __call__(self, batch):
        self.sizes.append(len(batch))
        if len(batch) > self.most:
            raise self.error
        return batch[:, 0, 0, :7].float(), torch.zeros(len(batch), 8)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("The following operation failed in the TorchScript interpreter: ... CUDA out of memory. Tried"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:98] . DefaultCPUAllocator: not enough memory: you tried"),
        MemoryError(),
    ],
    ids=["CUDA", "CUDA in TorchScript", "Linux", "Windows", "Python"],
)
def test_out_of_memory_halves_the_batch(tiny_bundle, error):
    module = Cramped(3, error)
    model = model_of(module, tiny_bundle, batch=8)
    model.is_fast = True
    assert first_pixels(model.predict(marked(*range(8)))) == [*range(8)]
    assert module.sizes == [8, 4, 2, 2, 4, 2, 2]
    module.most = 0
    with pytest.raises(NoMemoryError, match="no memory on cpu for one image: "):
        model.predict(marked(1, 2))
    one, other = model.predict_each([marked(1), marked(2)])
    assert isinstance(one, NoMemoryError)
    assert isinstance(other, NoMemoryError)


def test_a_real_allocator_that_has_not_the_memory_is_understood(tiny_bundle):
    class Huge(Cramped):
        def __call__(self, batch):
            if len(batch) > 1:
                torch.empty(2**60, dtype=torch.uint8)
            return super().__call__(batch)

    module = Huge(9, RuntimeError())
    model = model_of(module, tiny_bundle)
    model.is_fast = True
    assert first_pixels(model.predict(marked(1, 2))) == [1, 2]
    assert module.sizes == [1, 1]


def test_preprocessing_that_changes_its_mind_about_the_shape_is_an_error(model, monkeypatch):
    monkeypatch.setattr(model, "preprocess", lambda image: torch.zeros((1, 27, 28), dtype=torch.uint8))
    with pytest.raises(ModelError, match=r"preprocess returns \(1, 27, 28\), expected \(1, 28, 28\)"):
        model.predict([random_image(29, 28)])


def test_another_seed_is_another_model(tiny_bundle, model, tmp_path):
    other = load_model(make_tiny_bundle(tmp_path, seed=1, classes=model.contract.classes), threads=1)
    images = make_images(3, seed=5)
    assert np.abs(other.predict(images).probabilities - model.predict(images).probabilities).max() > 0.01
    assert other.digest != model.digest
