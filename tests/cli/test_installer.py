"""`zoo install` and `zoo uninstall`, with a stand-in for uv that writes and removes plugins in a folder of the test's."""

from __future__ import annotations

import os
import sys

import pytest

FAKE_UV = """#!{python}
import pathlib, shutil, sys
verb, packages = sys.argv[2], [word for word in sys.argv[5:] if not word.startswith("-")]
site = pathlib.Path({site!r})
print(*sys.argv[1:], file=open(site / "log", "a"))
for package in packages:
    module = package.replace("-", "_")
    if package == "zoo-nowhere":
        sys.exit("no such package: zoo-nowhere")
    if verb == "uninstall":
        (site / f"{{module}}.py").unlink()
        shutil.rmtree(site / f"{{module}}-0.1.dist-info")
        continue
    (site / f"{{module}}.py").write_text("raise RuntimeError('no GPU')" if package == "zoo-broken" else "")
    info = site / f"{{module}}-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\\nName: {{package}}\\nVersion: 0.1\\n")
    name = package.removeprefix("zoo-")
    (info / "entry_points.txt").write_text(f"[zoo]\\n{{name}} = {{module}}\\n")
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    site, path = tmp_path / "site", tmp_path / "bin"
    site.mkdir()
    path.mkdir()
    (path / "uv").write_text(FAKE_UV.format(python=sys.executable, site=str(site)))
    (path / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.syspath_prepend(site)
    return site


def test_install_names_the_plugins_that_came(site, zoo_command):
    code, said, errors = zoo_command("install", "zoo-fine")
    assert (code, said, errors) == (0, "installed plugin fine 0.1\n", "")
    assert f"pip install --python {sys.executable} zoo-fine" in (site / "log").read_text()
    assert "fine  zoo-fine 0.1" in zoo_command("plugins")[1]


def test_a_plugin_that_does_not_import_is_reported_and_the_rest_works(site, zoo_command):
    code, said, errors = zoo_command("install", "zoo-fine", "zoo-broken")
    assert code == 1
    assert "installed plugin fine 0.1" in said
    assert "broken: RuntimeError: no GPU" in errors
    assert "zoo uninstall" in errors
    assert "fine  zoo-fine 0.1" in zoo_command("plugins")[1]


def test_what_the_installer_says_is_passed_on(site, zoo_command):
    code, _, errors = zoo_command("install", "zoo-nowhere")
    assert code == 1
    assert "no such package: zoo-nowhere" in errors


def test_uninstall_works_for_a_plugin_that_cannot_be_imported(site, zoo_command):
    zoo_command("install", "zoo-broken")
    code, _, errors = zoo_command("uninstall", "--yes", "nonsense")
    assert code == 1
    assert "nonsense: no such plugin is installed; installed plugins: zoo-broken" in errors
    code, said, errors = zoo_command("uninstall", "--yes", "broken")
    assert (code, said, errors) == (0, "removed zoo-broken\n", "")
    assert "broken" not in zoo_command("plugins")[1]
