"""A project of one's own, as docs/your-own-data.md makes it, in which a page's commands can be typed."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.docs.pages import ROOT, Block, page
from tests.e2e.project import free_ports

CLASSES = ("bag", "sneaker", "t-shirt", "trouser")
IMAGES = 400  # of each class in `images`: enough for the gates of the page
NEW_IMAGES = 40
BLOCK_TIMEOUT_S = 400
FOREIGN = ("EVERGREEN_", "MLFLOW_", "PREFECT_")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "e2e: starts a whole stack, minutes on a slow machine")


@dataclass(frozen=True)
class Shell:
    """Runs blocks of a page with `variables`, each in a shell of its own."""

    project: Path
    variables: dict[str, str]

    def type(self, block: Block, folder: Path | None = None) -> str:
        """Run a block's commands in `folder` (the project) and return what they printed, unfolded; none may fail."""
        done = subprocess.run(
            ["bash", "-euc", block.text],
            cwd=folder or self.project,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BLOCK_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"{block} ended {done.returncode}:\n{block.text}\n{done.stdout}"
        return " ".join(done.stdout.split())

    def wait_until_served(self) -> None:
        """Return when the champion answers: after `evergreen up` its server takes a while."""
        router = f"http://127.0.0.1:{self.variables['EVERGREEN_STACK__ROUTER_PORT']}"
        deadline = time.monotonic() + BLOCK_TIMEOUT_S
        while httpx.get(f"{router}/v2/health/ready", trust_env=False).status_code != httpx.codes.OK:
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def edit_settings(self, text: str) -> None:
        """Put the lines of a TOML block in place of the keys that evergreen.toml has."""
        path = self.project / "evergreen.toml"
        path.write_text(replace_lines(path.read_text(), text))


def replace_lines(settings: str, changes: str) -> str:
    """Return the text of settings with each `key = value` of `changes` in its section."""
    section = ""
    for line in changes.splitlines():
        key = line.partition(" = ")[0]
        if line.startswith("["):
            section = line
        elif line:
            pattern = rf"({re.escape(section)}\n(?:(?!\[).*\n)*?){re.escape(key)} = .*"
            settings, count = re.subn(pattern, lambda match, line=line: match[1] + line, settings, count=1)
            assert count == 1, f"{section} has no {key}"
    return settings


def draw_images(folder: Path, count: int, seed: int) -> None:
    """Write `count` grey 28 x 28 images of each class: stripes of its own direction, or rings, and noise."""
    draw = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:28, 0:28]
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        along = (rows, columns, rows + columns, np.hypot(rows - 14, columns - 14))[number]  # unlike when mirrored
        for index in range(count):
            stripes = 90 * np.sin(along / 2 + draw.uniform(0, 6))
            pixels = (127 + stripes + draw.normal(0, 10, (28, 28))).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index:03}1.png")


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell in a new project, with its images and ports of its own; its stack is down at the end."""
    project = tmp_path_factory.mktemp("own") / "wardrobe"
    draw_images(project / "images", IMAGES, seed=1)
    draw_images(project / "new", NEW_IMAGES, seed=2)
    ports = dict(zip(("PREFECT", "MLFLOW", "ROUTER", "ROUTER_ADMIN"), free_ports(4), strict=True))
    own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    shell = Shell(
        project,
        {
            **own,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "CLONE": str(ROOT),
            "STORE": str(project.parent / "store"),
            "EVERGREEN_CONFIG": str(project / "evergreen.toml"),
            **{f"EVERGREEN_STACK__{name}_PORT": str(port) for name, port in ports.items()},
        },
    )
    try:
        yield shell
    finally:
        if (project / "evergreen.toml").is_file():
            shell.type(Block("the end", 0, "sh", "evergreen down"))
        shutil.rmtree(project.parent)


@pytest.fixture(scope="module")
def settings_block() -> Block:
    """The settings that the page changes."""
    return next(block for block in page("docs/your-own-data.md").blocks if block.language == "toml")
