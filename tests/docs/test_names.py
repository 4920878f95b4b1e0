"""Every file, setting, variable and link that a page names exists, and every setting is documented."""

import re
import tomllib

import pytest

from tasks.settings import Settings
from tasks.settings_keys import setting_paths, unknown_keys, unknown_variables
from tests.docs.pages import PAGES, ROOT, page

SETTINGS = set(setting_paths(Settings))
SECTIONS = set(Settings.model_fields)
SHIPPED = tomllib.loads((ROOT / "evergreen.toml").read_text())
LOCAL = ("data/", "mlruns/", ".evergreen/", ".venv", ".dvc/cache/", "services/", "instances/", "runs/", "golden/")
MADE = ("build/",)  # by a person, on the way to an image
TOP = {path.name for path in ROOT.iterdir()} - {".venv", ".evergreen", "build"}


def split_key(key: str) -> object:
    section, _, name = key.partition(".")
    return SHIPPED[section][name]


def is_module(name: str) -> bool:
    return any(ROOT.glob(f"{name.replace('.', '/')}*"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_links_and_anchors_resolve(page):
    folder = (ROOT / page.path).parent
    for link in page.links:
        path, _, anchor = link.partition("#")
        target = (folder / path).resolve() if path else ROOT / page.path
        assert target.is_file(), f"{page.path}: {link}"
        if anchor:
            named = next(other for other in PAGES if (ROOT / other.path).resolve() == target)
            assert anchor in named.anchors, f"{page.path}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_paths_exist(page):
    for name in page.names:
        is_path = re.fullmatch(r"\.?[\w.*-]+(/[\w.*-]+)*/?", name) and name.split("/")[0] in TOP
        if is_path and not name.startswith((*LOCAL, *MADE)):
            assert list(ROOT.glob(name.rstrip("/"))), f"{page.path}: {name}"


def test_the_tree_in_architecture_is_the_projects():
    block = next(block for block in page("docs/architecture.md").blocks if "flows/" in block.text)
    named, folder = [], ""
    for line in block.text.splitlines():
        folder = folder if line.startswith(" ") else ""
        named.append(folder + line.split()[0])
        folder = folder or named[-1]
    assert len(named) > 10
    assert not [name for name in named if not (ROOT / name).exists()]
    code = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert {f"{name}/" for name in code} <= set(named)
    assert {f"tasks/{path.parent.name}/" for path in ROOT.glob("tasks/*/__init__.py")} <= set(named)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_settings_and_variables_exist(page):
    dotted = [name for name in page.names if re.fullmatch(r"[a-z]+\.[a-z_]+", name) and name.split(".")[0] in SECTIONS]
    others = {name for name in dotted if name.endswith((".dvc", ".pt")) or is_module(name)}
    assert set(dotted) - SETTINGS - others == set()
    variables = set(re.findall(r"\bEVERGREEN_[A-Z_]*[A-Z]\b", page.text))
    assert list(unknown_variables(dict.fromkeys(variables, ""), Settings)) == []
    assignments = re.findall(r"--set ([a-z_.]+)=", page.text)
    assert set(assignments) <= SETTINGS


def test_toml_blocks_are_settings():
    blocks = [block for page in PAGES for block in page.blocks if block.language == "toml"]
    assert len(blocks) >= 2
    for block in blocks:
        values = tomllib.loads(block.text)
        assert list(unknown_keys(values, Settings)) == [], block
        Settings(**{section: {**SHIPPED[section], **values.get(section, {})} for section in SHIPPED})


def test_every_setting_is_documented_with_its_shipped_value():
    rows = re.findall(r"^\| `([a-z_.]+)` \| (.+?) \| .*\|$", page("docs/settings.md").text, re.MULTILINE)
    documented = dict(rows)
    assert len(rows) == len(documented)
    assert set(documented) == SETTINGS
    for key, text in documented.items():
        if key not in ("data.sources", "candidates"):
            assert tomllib.loads(f"value = {text.strip('`')}")["value"] == split_key(key), key


def test_no_page_names_what_is_local_to_a_machine():
    for each in PAGES:
        assert not re.search(r"/work\b|/root\b|/home/\w", each.text), each.path
