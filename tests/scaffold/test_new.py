"""`zoo new` writes plugins whose tests pass at once, installed as any plugin is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from zoo import scaffold
from zoo.errors import ConfigError, OutputError
from zoo.scaffold import new_plugin
from zoo.spec import Task

# Checks that do not apply: without weights nothing is recorded of them; sites have no sizes, and not all networks maps.
SKIPPED = {"detect": 2, "forecast": 2, "pretrain": 2, "retrieve": 3, "sdm": 4, "segment": 2}


def test_the_tests_of_new_plugins_pass_at_once(tmp_path):
    """All tasks in one environment: one installed from its wheel, the others as an editable install lays them out."""
    folders, site = {task: tmp_path / f"zoo-kelp-{task}" for task in scaffold.tasks()}, tmp_path / "site"
    site.mkdir()
    for task, folder in folders.items():
        new_plugin(f"kelp-{task}", task, folder)
        install_editable(folder, site)
    shutil.rmtree(site / "zoo_kelp_segment-0.1.0.dist-info")
    (wheel,) = WheelBuilder(str(folders["segment"])).build(directory=str(tmp_path / "dist"))
    zipfile.ZipFile(wheel).extractall(site)
    paths = [str(site), *(str(folder) for task, folder in folders.items() if task != "segment")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "ZOO_PLUGINS": ",".join(f"kelp-{task}" for task in folders),
        "ZOO_STRICT": "1",
    }
    tests = [str(folder / "tests") for folder in folders.values()]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--import-mode=importlib", *tests],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    lines = [line for line in done.stdout.splitlines() if "::" in line]
    found = {task: sum("SKIPPED" in line and f"kelp_{task}" in line for line in lines) for task in folders}
    assert found == SKIPPED, done.stdout[-3000:]
    assert re.search(rf"= {len(lines) - sum(found.values())} passed, {sum(found.values())} skipped in ", done.stdout)


def install_editable(folder: Path, site: Path) -> None:
    """The metadata of a plugin whose folder is on the path."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    told = (f"{name} = {module}\n" for name, module in project["entry-points"]["zoo"].items())
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {project['name']}\nVersion: {project['version']}\n")
    (info / "entry_points.txt").write_text("[zoo]\n" + "".join(told))


def test_every_task_has_a_template():
    assert scaffold.tasks() == sorted(SKIPPED) == sorted(Task)


def test_a_new_plugin_is_seven_small_files(tmp_path):
    files = new_plugin("big-kelp", "segment", tmp_path / "made", licence="MIT")
    assert [str(file.relative_to(tmp_path / "made")) for file in files] == [
        "CARD.md",
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "tests/test_big_kelp.py",
        "zoo_big_kelp/__init__.py",
        "zoo_big_kelp/network.py",
    ]
    assert "class BigKelp(nn.Module)" in (tmp_path / "made/zoo_big_kelp/network.py").read_text()
    assert "authors of zoo-big-kelp" in (tmp_path / "made/LICENSE").read_text()
    for file in files:
        assert "$" not in file.read_text(), f"{file.name} has a placeholder left"


@pytest.mark.parametrize(
    ("name", "task", "licence", "message"),
    [
        ("Big Kelp", "segment", "MIT", "found the name 'Big Kelp'; expected .* such as 'big-kelp'"),
        ("2kelp", "segment", "MIT", "found the name '2kelp'"),
        ("kelp", "paint", "MIT", "no template for the task 'paint'; there is one for .*pretrain, .*segment"),
        ("kelp", "segment", "GPL", "no template for the licence 'GPL'; .* Apache-2.0, BSD-3-Clause, MIT"),
    ],
)
def test_what_will_not_do_is_refused_before_anything_is_written(tmp_path, name, task, licence, message):
    with pytest.raises(ConfigError, match=message):
        new_plugin(name, task, tmp_path / "made", licence=licence)
    assert not (tmp_path / "made").exists()


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty; name another folder with --to"):
        new_plugin("kelp", "segment", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_the_command_line_names_the_files_and_what_comes_next(zoo_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = zoo_command("new", "kelp", "--task", "segment")
    assert code == 0
    assert "zoo-kelp/zoo_kelp/network.py" in out.splitlines()
    assert "next: zoo install -e zoo-kelp; zoo check kelp" in err
    assert all(Path(line).is_file() for line in out.splitlines())
