"""`zoo predict` for 50 of 12,738 species on a long table of 61 predictors: memory, and what is not the forward pass.

    python benchmarks/bench_species_table.py [--rows 1000000] [--processes 2] [--released]

A MaskSDM with the released predictors and number of species, random weights and invented names is saved to a folder and asked
by the command line, in a process of its own, from CSV and from Parquet. Memory hardly depends on the network's width, hence
the small network by default; `--released` has all of the released one. Target (issue 4): 2 GB, the peak of all processes
together, of which torch and the other libraries are 0.6 in each. Baseline in the same run: the time inside the network.

A million rows on one thread of two busy cores, before tables were read in blocks and since: from Parquet 1.76 GB, now 1.11;
from CSV 2.02 GB, now 1.01. Outside the network 31 of 503 s and 36 of 786 s, of which 7 s are the start of Python and its
libraries. Two processes at 150,000 rows, with larger blocks than now: 1.81 and 1.64 GB together. All 12,738 species of 20,000 rows to Parquet, 817 MB: 1.39 GB,
which does not grow with the rows but for the file's index, about 200 MB at a million; with `--top 10` 0.96 GB.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import torch
from zoo_masksdm.predictors import SPLOT, predictors
from zoo_masksdm.variants import SPLOT_SPECIES

from zoo import registry
from zoo.builders import builder_of
from zoo.model import Model
from zoo.spec import Normalise

TARGET_GB = 2.0
SMALL = {"width": 48, "blocks": 2, "heads": 4, "frequencies": 16, "satclip": False}
SPECIES = 50
BLOCK = 50_000  # rows that are made at a time
CHILD = """
import json, sys, time
from zoo.model import Model
inside, forward = [0.0], Model.forward
def timed(*given, **named):
    began = time.perf_counter()
    try:
        return forward(*given, **named)
    finally:
        inside[0] += time.perf_counter() - began
Model.forward = timed
from zoo.cli import main
try:
    main(sys.argv[2:])
except SystemExit as ended:
    assert not ended.code, ended.code
open(sys.argv[1], "w").write(json.dumps(inside[0]))
"""


def save_model(folder: Path, *, released: bool) -> tuple[str, ...]:
    """A model as `zoo convert` makes of a released file, with random weights; its species."""
    entry, variant = registry.find("masksdm@splot")
    names = tuple(f"Planta {number:05d}" for number in range(SPLOT_SPECIES))
    steps = Normalise(mean=(10.0,) * len(SPLOT), std=(3.0,) * len(SPLOT), source="ours: of the invented table")
    config = {**variant.config, **({} if released else SMALL)}
    inputs = (predictors(SPLOT, "sPlotOpen", steps), *(variant.inputs[1:] if config.get("satclip", True) else ()))
    made = replace(variant, config=config, inputs=inputs, classes=names, scores=(), weights=None)
    torch.manual_seed(0)
    module = builder_of("zoo-masksdm", made)().eval()
    Model(spec=entry.spec, variant=made, module=module, device=torch.device("cpu")).save(folder)
    return names


def save_table(path: Path, rows: int) -> None:
    """Ids, and 61 predictors of which a tenth is missing; longitude and latitude are among them."""
    generator = np.random.default_rng(0)
    writer = None
    for start in range(0, rows, BLOCK):
        count = min(BLOCK, rows - start)
        values = generator.normal(10, 3, (count, len(SPLOT))).astype(np.float32).round(3)
        holes = generator.random(values.shape) < 0.1
        columns = {"id": pa.array([f"plot {start + row}" for row in range(count)])}
        for index, band in enumerate(SPLOT):
            known = band.id in ("Longitude", "Latitude")
            columns[band.id] = pa.array(values[:, index], mask=None if known else holes[:, index])
        table = pa.table(columns)
        if writer is None:
            writer = (pa_csv.CSVWriter if path.suffix == ".csv" else pq.ParquetWriter)(path, table.schema)
        writer.write_table(table)
    writer.close()


class Peak(threading.Thread):
    """The most memory that a process, or together with its children, was seen to take, in GB.

    Of one process it is the peak that the system counts (VmHWM); of several the largest sum of their proportional shares
    (Pss), which count the libraries that they share once, every tenth of a second.
    """

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self.process, self.ended, self.alone, self.together = process, threading.Event(), 0.0, 0.0
        self.children = False

    def run(self) -> None:
        while not self.ended.wait(0.1):
            family, shares = [self.process], 0.0
            for one in family:
                try:
                    found = Path(f"/proc/{one}/task/{one}/children").read_text().split()
                    shares += told_gb(f"/proc/{one}/smaps_rollup", "Pss:")
                except (OSError, IndexError):  # it has ended
                    continue
                self.children |= bool(found)
                family += [int(each) for each in found]
            self.together = max(self.together, shares)
            with contextlib.suppress(OSError, IndexError):
                self.alone = told_gb(f"/proc/{self.process}/status", "VmHWM:")

    def gb(self) -> float:
        self.ended.set()
        self.join()
        return self.together if self.children else self.alone


def told_gb(path: str, field: str) -> float:
    return int(Path(path).read_text().partition(f"\n{field}")[2].split()[0]) * 1024 / 1e9


def predict(model: Path, table: Path, out: Path, species: Path, options: list[str]) -> dict[str, float]:
    told = out.with_suffix(".json")
    arguments = ["predict", str(model), str(table), str(out), "--species", str(species), *options]
    command = [sys.executable, "-m", "zoo", *arguments]
    if "--processes" not in options:
        command = [sys.executable, "-c", CHILD, str(told), *arguments]
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    peak = Peak(process.pid)
    peak.start()
    if process.wait():
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    seconds = time.perf_counter() - began
    found = {"s": seconds, "gb": peak.gb()}
    return found | ({"outside": seconds - json.loads(told.read_text())} if told.exists() else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--released", action="store_true", help="the released network in its whole width")
    given = parser.parse_args()
    options = ["--processes", str(given.processes)] if given.processes > 1 else []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        names = save_model(home / "model", released=given.released)
        (home / "species.txt").write_text("\n".join(names[:SPECIES]))
        for suffix in (".parquet", ".csv"):
            table, out = home / f"sites{suffix}", home / f"out{suffix}"
            save_table(table, given.rows)
            found = predict(home / "model", table, out, home / "species.txt", options)
            outside = found.get("outside")
            share = f", {outside:.0f} s ({outside / found['s']:.0%}) of it outside the network" if outside else ""
            print(
                f"{given.rows:,} rows, {suffix[1:]} of {table.stat().st_size / 1e6:,.0f} MB to {out.stat().st_size / 1e6:,.0f}"
                f" MB: {found['s']:.0f} s{share}; peak {found['gb']:.2f} GB, target {TARGET_GB:g} GB",
                flush=True,
            )
            table.unlink()


if __name__ == "__main__":
    main()
