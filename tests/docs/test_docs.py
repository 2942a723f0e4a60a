"""The pages say what is so: the worked plugin works, and every hook is described under its own signature."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
import shlex
import sys
import tomllib
import warnings
from pathlib import Path

import pytest

from zoo import hookspecs
from zoo.errors import ZooWarning

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r'^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<code>.*?)^```$', re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[dict[str, str]]:
    return [found.groupdict() for found in BLOCK.finditer((DOCS / page).read_text())]


@pytest.fixture
def kelp(tmp_path, monkeypatch):
    """The files of the page, installed as an editable plugin is: found on the path, named by metadata."""
    for block in blocks("add_a_model.md"):
        if block["title"]:
            (tmp_path / block["title"]).parent.mkdir(exist_ok=True)
            (tmp_path / block["title"]).write_text(block["code"])
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]
    info = tmp_path / "zoo_kelp-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    ((name, module),) = project["entry-points"]["zoo"].items()
    (info / "entry_points.txt").write_text(f"[zoo]\n{name} = {module}\n")
    monkeypatch.setenv("ZOO_PLUGINS", "kelp")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for module in [module for module in sys.modules if module.partition(".")[0] == "zoo_kelp"]:
        del sys.modules[module]


def test_the_worked_plugin_works(kelp, zoo_command):
    ran = []
    for block in blocks("add_a_model.md"):
        if block["language"] == "python" and not block["title"]:
            exec(compile(block["code"], "add_a_model.md", "exec"), {})
        elif block["language"] == "console":
            for command, told in re.findall(r"^\$ zoo (.*)\n((?:(?!\$).*\n)*)", block["code"], re.MULTILINE):
                code, out, err = zoo_command(*shlex.split(command))
                assert code == 0, out + err
                said = [" ".join(line.split()) for line in out.splitlines()]
                assert [line for line in told.splitlines() if line not in said] == []
                ran.append(command)
    assert ran == ["check kelp --record", "info kelp", "plugins"]
    assert sorted(file.name for file in (kelp / "zoo_kelp/checks").iterdir()) == [
        "demo.golden.safetensors",
        "demo.keys",
    ]
    tests = {"__name__": "test_kelp"}
    exec(compile((kelp / "tests/test_kelp.py").read_text(), "test_kelp.py", "exec"), tests)
    tests["test_the_canopy_moves_with_the_scene"]()
    (cases,) = tests["test_conformance"].pytestmark
    assert len(cases.args[1]) == 21


def test_every_hook_has_a_heading_with_its_signature():
    expected = [
        f"{name}{inspect.signature(function)}".replace("'", "")
        for name, function in vars(hookspecs).items()
        if name.startswith("zoo_")
    ]
    headings = re.findall(r"^## `(.*)`$", (DOCS / "hooks.md").read_text(), re.MULTILINE)
    assert headings == expected


def test_pages_name_files_that_exist():
    """`docs/x.md` and `plugins/y/` in a page are there."""
    for page in DOCS.glob("*.md"):
        for path in re.findall(r"`((?:docs|plugins|tests|tools|zoo)/[\w/.-]+)`", page.read_text()):
            assert (DOCS.parent / path).exists(), f"{page.name} names {path}"


def test_evaluation_prints_what_its_page_shows(zoo_command):
    """To a few samples of three hundred, and one or two of a class: other processors round otherwise."""
    (shown,) = [block["code"] for block in blocks("evaluate.md") if block["language"] == "console"]
    command, _, told = shown.removeprefix("$ zoo ").partition("\n")
    code, out, err = zoo_command(*shlex.split(command))
    assert code == 0, err
    number = re.compile(r"\d\.\d{4}")
    assert [number.sub("#", line) for line in out.splitlines()] == [number.sub("#", line) for line in told.splitlines()]
    found, expected = ([float(one) for one in number.findall(text)] for text in (out, told))
    assert len(expected) == 4 * 3 + 9
    assert found[:12] == pytest.approx(expected[:12], abs=0.03)
    assert found[12:] == pytest.approx(expected[12:], abs=0.25)


def test_evaluation_in_python_is_as_its_page_says():
    (code,) = [block["code"] for block in blocks("evaluate.md") if block["language"] == "python"]
    known = {}
    exec(compile(code.replace("300", "30"), "evaluate.md", "exec"), known)
    assert known["found"].num_samples == 30
    assert 0 <= known["found"].figures["accuracy"].low <= known["found"].values["accuracy"]


def test_all_of_the_page_on_species_runs_and_says_what_is_shown(tmp_path, monkeypatch, zoo_command):
    monkeypatch.chdir(tmp_path)
    known, said, compared = {}, [], 0
    for block in blocks("species.md"):
        match block["language"]:
            case "python":
                with contextlib.redirect_stdout(io.StringIO()) as out, warnings.catch_warnings():
                    warnings.simplefilter("ignore", ZooWarning)
                    exec(compile(block["code"], "species.md", "exec"), known)
                said = out.getvalue().splitlines()
            case "sh":
                said = []
                for line in block["code"].splitlines():
                    with warnings.catch_warnings(record=True) as caught:
                        warnings.simplefilter("always", ZooWarning)
                        code, out, err = zoo_command(*shlex.split(line)[1:])
                    assert code == 0, f"{line}: {err}"
                    said += [str(one.message) for one in caught if issubclass(one.category, ZooWarning)]
                    said += [*err.splitlines(), *out.splitlines()]
            case "text":
                missing = [line for line in block["code"].splitlines() if not any(line in one for one in said)]
                assert missing == [], said
                compared += 1
    assert compared == 4
    assert len([*(tmp_path / "maps").iterdir()]) == 12
