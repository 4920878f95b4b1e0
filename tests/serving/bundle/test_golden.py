import json
import re

import numpy as np
import pytest

from serving.bundle.contract import BundleError, BundleFile, Contract
from serving.bundle.golden import check_golden, check_listed, read_golden, write_golden
from tests.bundles import make_images

ENTRY = '{"file": "000.npy", "kind": "raw", "probabilities": [%s]}'


def mean_and_rest(image):
    share = image.mean(dtype=np.float32) / 255
    return np.array([share, 1 - share], dtype=np.float32)


def answer_all(images):
    return np.stack([mean_and_rest(image) for image in images])


@pytest.fixture
def folder(tmp_path):
    write_golden(tmp_path, make_images(8, seed=1), mean_and_rest)
    return tmp_path


def test_half_of_the_inputs_are_image_files(folder):
    entries = json.loads((folder / "golden/golden.json").read_text())
    assert [entry["kind"] for entry in entries] == ["raw", "png", "raw", "jpeg"] * 2
    assert all((folder / "golden" / entry["file"]).is_file() for entry in entries)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_answers_pass_without_any_tolerance(tmp_path, channels):
    paths = write_golden(tmp_path, make_images(4, seed=1, channels=channels), mean_and_rest)
    assert sorted(paths) == sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.*"))
    check_golden(tmp_path, answer_all, tolerance=0)


def test_writing_twice_gives_the_same_bytes(tmp_path):
    first, second = (tmp_path / "first", tmp_path / "second")
    paths = [write_golden(folder, make_images(4, seed=1), mean_and_rest) for folder in (first, second)]
    assert paths[0] == paths[1]
    assert [(first / path).read_bytes() for path in paths[0]] == [(second / path).read_bytes() for path in paths[0]]


def shifted(by, *, at):
    def answer(images):
        answers = answer_all(images)
        answers[at, 0] += by
        return answers

    return answer


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (shifted(0.25, at=3), "1 of 8 golden answers are wrong; the worst is golden/003.jpg: "),
        (shifted(0.25, at=3), "golden/003.jpg: a probability differs by 0.25, the tolerance is 0.0005"),
        (shifted(np.nan, at=1), "the worst is golden/001.png: a probability differs by inf, the tolerance is 0.0005"),
        (shifted(np.inf, at=0), "1 of 8 golden answers are wrong; the worst is golden/000.npy"),
        (shifted(0.01, at=slice(None)), "8 of 8 golden answers are wrong"),
        (lambda images: answer_all(images)[:, :1], "have shape (8, 2), the model answers with (8, 1)"),
        (lambda images: answer_all(images)[1:], "have shape (8, 2), the model answers with (7, 2)"),
    ],
    ids=["one off", "by how much", "not a number", "infinite", "all off", "too few classes", "too few answers"],
)  # fmt: skip
def test_other_answers_fail(folder, answer, sentence):
    with pytest.raises(BundleError, match=re.escape(sentence)):
        check_golden(folder, answer, tolerance=0.0005)


def test_a_difference_within_the_tolerance_passes(folder):
    check_golden(folder, shifted(0.0004, at=2), tolerance=0.0005)


def write_index(folder, text):
    (folder / "golden/golden.json").write_text(text)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: (folder / "golden/001.png").unlink(), "001.png cannot be read"),
        (lambda folder: (folder / "golden/003.jpg").write_bytes(b"text"), "003.jpg cannot be read: not a PNG"),
        (lambda folder: (folder / "golden/000.npy").write_bytes(b"no array"), "000.npy cannot be read"),
        (lambda folder: (folder / "golden/golden.json").unlink(), "golden.json cannot be read"),
        (lambda folder: write_index(folder, "[{"), "golden.json cannot be read"),
        (lambda folder: write_index(folder, '[{"file": "000.npy"}]'), "golden.json cannot be read"),
        (lambda folder: write_index(folder, "[]"), "golden.json has no answers"),
        (lambda folder: write_index(folder, f"[{ENTRY % 1}, {ENTRY % '1, 0'}]"), "answers of different lengths"),
        (lambda folder: write_index(folder, f"[{ENTRY % 'NaN, 0.5'}]"), "1 of 1 golden answers are wrong"),
    ],
    ids=[
        "missing input", "damaged jpeg", "damaged array", "no index", "index cut", "entry incomplete", "empty index",
        "ragged", "NaN recorded",
    ],
)  # fmt: skip
def test_a_damaged_golden_folder_fails(folder, damage, sentence):
    damage(folder)
    with pytest.raises(BundleError, match=re.escape(sentence)):
        check_golden(folder, answer_all, tolerance=0.0005)


@pytest.mark.parametrize("file", ["../x.npy", "/x.npy", "a/x.npy", "..\\x.npy", "C:x.npy", "..", ".", "", 7, None])
def test_a_file_elsewhere_is_refused(folder, file):
    write_index(folder, json.dumps([{"file": file, "kind": "raw", "probabilities": [1, 0]}]))
    expected = f"golden.json names the file {file!r}; expected the plain name of a file beside it"
    with pytest.raises(BundleError, match=re.escape(expected)):
        check_golden(folder, answer_all, tolerance=0.0005)


@pytest.mark.parametrize("left_out", ["golden/golden.json", "golden/001.png", "golden/003.jpg"])
@pytest.mark.parametrize("is_listed", [False, True], ids=["not listed", "not served"])
def test_the_contract_must_list_what_is_checked(tmp_path, left_out, is_listed):
    paths = write_golden(tmp_path, make_images(4, seed=1), mean_and_rest)
    files = tuple(
        BundleFile(path, "a" * 64, 1, is_served=path != left_out) for path in paths if is_listed or path != left_out
    )
    check_listed(tmp_path, make_contract(tuple(BundleFile(path, "a" * 64, 1, is_served=True) for path in paths)))
    with pytest.raises(BundleError, match=f"does not list {left_out} as served: make the bundle anew"):
        check_listed(tmp_path, make_contract(files))


def make_contract(files):
    return Contract(("a", "b"), 1, 28, 8, "tiny", "a" * 64, "b" * 64, 1.0, 0.0005, files)


def test_a_set_that_was_read_is_checked_again_and_again(folder):
    golden = read_golden(folder)
    found = answer_all(golden.images)
    golden.check(found, tolerance=0)
    found[3, 0] += 0.25
    for _ in range(2):
        with pytest.raises(BundleError, match=r"1 of 8 golden answers are wrong; the worst is golden/003.jpg"):
            golden.check(found, tolerance=0.0005)
    golden.check(answer_all(golden.images), tolerance=0)
