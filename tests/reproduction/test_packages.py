import sys

import pytest

from tasks.reproduction.packages import Package, compare_packages
from tests.conftest import ROOT

INSTALLED = {"torch": "2.13.0+cpu", "numpy": "2.0.0", "typer-slim": "1.0"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("torch==2.13.0", Package("torch", "2.13.0", "2.13.0+cpu", is_as_locked=True)),
        ("torch==2.12.0", Package("torch", "2.12.0", "2.13.0+cpu", is_as_locked=False)),
        ("numpy==2.0.0 ; python_full_version >= '3'", Package("numpy", "2.0.0", "2.0.0", is_as_locked=True)),
        ("typer-slim[standard]==1.0", Package("typer-slim", "1.0", "1.0", is_as_locked=True)),
        ("pillow==12.0", Package("pillow", "12.0", "not installed", is_as_locked=False)),
    ],
)
def test_a_package_is_compared_with_its_lock(line, expected):
    assert compare_packages(f"# made by uv\n\n{line}\n", INSTALLED.get) == (expected,)


@pytest.mark.parametrize("line", ["colorama==1 ; sys_platform == 'win32'", "--index-url https://example.org", "# x"])
def test_what_is_not_for_this_platform_or_no_package_is_left_out(line):
    assert sys.platform != "win32"
    assert compare_packages(f"{line}\n", INSTALLED.get) == ()


def test_this_environment_against_the_lock_of_this_clone():
    packages = compare_packages((ROOT / "locks" / "cpu.lock").read_text())
    assert len(packages) > 150
    (torch,) = [package for package in packages if package.name == "torch"]
    assert torch.installed.startswith("2.")
