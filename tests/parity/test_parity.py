"""Every recorded case of every installed model: the plugin's numbers are the authors'."""

import os
from pathlib import Path

import pytest

from zoo.testing import parity

ROOT = parity.root()
FOLDERS = parity.folders(ROOT) if ROOT and ROOT.is_dir() else []


def installed_folders() -> list[Path]:
    return [folder for folder in FOLDERS if parity.owner(parity.read_manifest(folder)["model"])]


def test_cases_are_there():
    if ROOT is None and not os.environ.get(parity.VARIABLE):
        pytest.skip("parity skipped: no folder of recorded cases (set ZOO_PARITY)")
    assert FOLDERS, f"no recorded cases below {ROOT}, which {parity.VARIABLE} names"
    models = {parity.read_manifest(folder)["model"] for folder in FOLDERS}
    absent = sorted(model for model in models if not parity.owner(model))
    if absent:
        print(f"parity: no plugin installed for {', '.join(absent)}")


@pytest.mark.parametrize("folder", installed_folders(), ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_plugin_equals_the_authors_code(folder):
    case = parity.read_case(folder)
    parity.check_case(case, parity.runners(parity.owner(case.model)))
