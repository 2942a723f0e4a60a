"""`zoo new` writes plugins whose tests pass at once, installed as any plugin is."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from zoo import scaffold
from zoo.errors import ConfigError, OutputError
from zoo.scaffold import new_plugin


@pytest.mark.parametrize("task", scaffold.tasks())
def test_the_tests_of_a_new_plugin_pass_at_once(task, tmp_path):
    folder, site = tmp_path / "zoo-big-kelp", tmp_path / "site"
    new_plugin("big-kelp", task, folder)
    (wheel,) = WheelBuilder(str(folder)).build(directory=str(tmp_path / "dist"))
    zipfile.ZipFile(wheel).extractall(site)
    environment = os.environ | {"PYTHONPATH": str(site), "ZOO_PLUGINS": "big-kelp", "ZOO_STRICT": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    last = done.stdout.splitlines()[-1]
    assert "2 skipped" in last, last  # without weights, nothing is recorded of them
    assert "failed" not in last
    assert "xfailed" not in last


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
