"""Start-up: `zoo list` and `zoo --help` with ten generated plugins beside the installed ones.

Baseline, in the same run: `python -c "import click, pluggy"`. Fresh processes, interleaved; medians. Target: at most 2.5.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 15
PLUGIN = """
from zoo.hookspecs import hookimpl
from zoo.spec import Band, InputSpec, Kind, Licences, ModelSpec, Normalise, Paper, Task, Variant

@hookimpl
def zoo_register_models():
    inputs = tuple(
        InputSpec(
            name="image", label=f"sensor-{index}", kind=Kind.RASTER,
            bands=tuple(Band(id=f"B{band}", unit="DN") for band in range(12)),
            steps=(Normalise(mean=(0.5,) * 12, std=(0.2,) * 12, source="generated"),),
        )
        for index in range(4)
    )
    variants = tuple(Variant(tag=f"v{index}", builder="nowhere:build", inputs=inputs) for index in range(6))
    licences = Licences(code="MIT", weights=None, data=None)
    return [ModelSpec(name="NAME", task=Task.SEGMENT, summary="generated", paper=Paper(title="t", bibtex="@misc{t}"),
                      repository=None, licences=licences, variants=variants)]
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for index in range(10):
            module = Path(folder) / f"zoo_generated_{index}.py"
            module.write_text(PLUGIN.replace("NAME", f"generated-{index}"))
            info = Path(folder) / f"zoo_generated_{index}-1.0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: zoo-generated-{index}\nVersion: 1.0\n")
            (info / "entry_points.txt").write_text(f"[zoo]\ngenerated-{index} = zoo_generated_{index}\n")
        zoo = [sys.executable, "-c", "from zoo.cli import main; main()"]
        commands = {
            "import click, pluggy": [sys.executable, "-c", "import click, pluggy"],
            "zoo list": [*zoo, "list"],
            "zoo --help": [*zoo, "--help"],
        }
        times = {name: [] for name in commands}
        for _ in range(ROUNDS + 1):
            for name, command in commands.items():
                times[name].append(_seconds(command, folder))
    base = statistics.median(times["import click, pluggy"][1:])
    print(f"{'command':<24}{'median ms':>10}{'ratio':>8}")
    for name, measured in times.items():
        median = statistics.median(measured[1:])  # the first round warms the file cache
        print(f"{name:<24}{1000 * median:>10.0f}{median / base:>8.2f}")


def _seconds(command: list[str], folder: str) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": folder})
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
