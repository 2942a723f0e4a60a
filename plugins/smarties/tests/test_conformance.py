"""zoo's own checks on the demo network, and the README's lines as they stand."""

import re
from pathlib import Path

import zoo.testing

README = Path(__file__).parents[1] / "README.md"


@zoo.testing.parametrize_with_checks(["smarties@demo"])
def test_conformance(model, check):
    check(model)


def test_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    names = {}
    for block in blocks:
        exec(compile(block, README.name, "exec"), names)
    assert names["features"].data.shape == (96, 32, 32)  # a vector per 8 x 8 px of 256 x 256
    assert names["pooled"].shape == (1, 96)
    assert (tmp_path / "chips.parquet").stat().st_size > 0
