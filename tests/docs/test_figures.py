"""The figures and messages in docs/your-own-data.md are what the code computes and says."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.data.prepare_dataset import prepare_dataset
from tasks.errors import DataError
from tasks.evaluation.compare import lower_bound, tango_interval
from tasks.settings import Settings, load_settings
from tests.docs.pages import ROOT, page

PAGE = page("docs/your-own-data.md")
CONFIDENCE = 0.95


def table(heading: str) -> tuple[list[str], list[list[str]]]:
    """Return a table's column headings, and its rows."""
    lines = PAGE.text[PAGE.text.index(f"| {heading} |") :].split("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return cells[0], cells[2:]


def lowest_share(n: int, floor: float, confidence: float) -> str:
    """Return the lowest share of `n` whose lower bound reaches the floor."""
    shares = (f"{hits / n:.4f}" for hits in range(n + 1) if lower_bound(hits, n, confidence=confidence) >= floor)
    return next(shares, "none")


def test_the_lowest_accuracies():
    (_, *columns), rows = table("test images | floor 0.80")
    floors = [float(column.split()[1]) for column in columns]
    assert len(rows) > 3
    for n, *shown in rows:
        assert shown == [lowest_share(int(n.replace(",", "")), floor, CONFIDENCE) for floor in floors]


def test_the_lowest_recalls():
    (_, *columns), rows = table("test images of the class")
    classes = [int(column.split()[0]) for column in columns]
    assert len(rows) > 3
    for n, *shown in rows:
        bounds = [lowest_share(int(n.replace(",", "")), 0.5, 1 - (1 - CONFIDENCE) / count) for count in classes]
        assert shown == bounds


def test_the_bounds_of_an_equal_challenger():
    (_, *columns), rows = table("test images | none")
    shares = [0.0 if column == "none" else int(column.split()[0]) / 100 for column in columns]
    assert len(rows) > 3
    for text, *shown in rows:
        n = int(text.replace(",", ""))
        each = [round(n * share / 2) for share in shares]
        assert shown == [f"{tango_interval(one, one, n, confidence=CONFIDENCE).low:+.4f}" for one in each]


@pytest.fixture
def project(tmp_path: Path) -> Settings:
    """A project whose source is `images`, with 500 grey images in each of bag and sneaker."""
    text = (ROOT / "evergreen.toml").read_text()
    text = text.replace('kind = "fashion-mnist"', 'kind = "image_folder"').replace(
        'location = ""', 'location = "images"'
    )
    (tmp_path / "evergreen.toml").write_text(text)
    draw = np.random.default_rng(5)
    for name in ("bag", "sneaker"):
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        for number in range(500):
            Image.fromarray(draw.integers(0, 255, (4, 4), np.uint8)).save(folder / f"{number:04}.png")
    return load_settings(tmp_path / "evergreen.toml")


def no_folder(images: Path) -> None:
    shutil.rmtree(images)


def no_images(images: Path) -> None:
    shutil.rmtree(images)
    images.mkdir()
    (images / "readme.md").write_text("nothing")


def one_class(images: Path) -> None:
    shutil.rmtree(images / "bag")


def two_spellings(images: Path) -> None:
    shutil.copytree(images / "bag", images / "Bag")


def empty_class(images: Path) -> None:
    (images / "hat").mkdir()


def bad_images(images: Path) -> None:
    for path in sorted((images / "bag").iterdir())[:300]:
        path.write_text("no image")


def few_images(images: Path) -> None:
    for path in sorted((images / "bag").iterdir())[8:]:
        path.unlink()


SPOILED = [no_folder, no_images, one_class, two_spellings, empty_class, bad_images, few_images]


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__)
def test_a_message_that_stops_the_run_is_the_one_shown(project, spoil):
    spoil(project.root / "images")
    with pytest.raises(DataError) as caught:
        prepare_dataset(project.data, root=project.root, home=project.home)
    _, rows = table("| message")
    patterns = [re.escape(message.strip("`")).replace(r"\.\.\./", ".*/") for _, message in rows]
    patterns = [re.sub(r"('bag') \d+", r"\1 \\d+", pattern.replace("\\ ", " ")) for pattern in patterns]
    assert len(patterns) == len(SPOILED)
    assert any(re.fullmatch(pattern, str(caught.value)) for pattern in patterns), caught.value


def test_the_quarantine_is_the_one_shown(project):
    bag = project.root / "images" / "bag"
    good = next(iter(sorted(bag.iterdir())))
    (bag / "empty.png").write_bytes(b"")
    (bag / "notes.png").write_text("these are bags")
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(bag / "scan.png")
    Image.new("L", (20_000, 20_000)).save(bag / "poster.png")
    Image.fromarray(np.random.default_rng(6).integers(0, 255, (40, 40), np.uint8)).save(bag / "cut.png")
    (bag / "cut.png").write_bytes((bag / "cut.png").read_bytes()[:200])
    shutil.copy(good, project.root / "images" / "stray.png")
    prepare_dataset(project.data, root=project.root, home=project.home)
    found = (project.home / "quarantine" / "image_folder.jsonl").read_text().splitlines()
    shown = next(block for block in PAGE.blocks if '"reason"' in block.text).text.splitlines()
    assert [json.loads(line) for line in found] == [json.loads(line) for line in shown]
