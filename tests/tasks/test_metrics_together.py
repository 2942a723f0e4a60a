"""Metrics of two processes with unlike shares of the samples, one of them empty, are those of one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOGETHER = """
import json, os, sys
from types import SimpleNamespace
import torch
from torch import distributed
from zoo.spec import InputSpec, Kind, Quantity, Variant
from zoo.tasks.metrics.forecast import ForecastMetrics
from zoo.tasks.metrics.labels import LabelMetrics
from zoo.tasks.metrics.segment import SegmentMetrics

def variant(**more):
    return Variant(tag="toy", builder="toy:build", inputs=(InputSpec(name="image", kind=Kind.RASTER),), **more)

torch.manual_seed(0)
logits, several = torch.randn(9, 4), (torch.randn(9, 4) > 0).float()
maps, label = torch.randn(9, 4, 5, 6), torch.randint(0, 4, (9, 5, 6))
fire = Quantity(name="fire", unit="1", probability=True)
values, truth = torch.randn(9, 1, 5, 6), (torch.randn(9, 1, 5, 6) > 0).float()
truth[2, 0, :3] = torch.nan
abcd = tuple("abcd")
CASES = {
    "single": (LabelMetrics(variant=variant(classes=abcd), bootstrap=9), "logits", logits, "label", label[:, 0, 0]),
    "multi": (LabelMetrics(variant=variant(classes=abcd, multi_label=True), bootstrap=9), "logits", logits, "label", several),
    "maps": (SegmentMetrics(variant=variant(classes=abcd), bootstrap=9), "logits", maps, "label", label),
    "fires": (ForecastMetrics(variant=variant(quantities=(fire,)), bootstrap=9), "values", values, "values", truth),
}

def figures(shares):
    found = {}
    for name, (metric, output, answers, key, target) in CASES.items():
        metric.reset()
        for rows in shares:
            ids = [f"{row}.tif" for row in rows]
            metric.update(SimpleNamespace(**{output: answers[rows]}), {key: target[rows]}, ids)
        metric._update_count = 1  # a process without samples must not warn
        found[name] = metric.compute()
    return found

folder = sys.argv[1]
alone = figures([list(range(9))])
child = os.fork()
rank = 0 if child else 1
distributed.init_process_group("gloo", init_method=f"file://{folder}/met", rank=rank, world_size=2)
uneven = figures([[8, 1], [3]] if rank else [[0, 7, 2], [6, 5, 4]])
empty = figures([] if rank else [list(range(9))])
with open(f"{folder}/{rank}.json", "w") as file:
    json.dump({"alone": alone, "uneven": uneven, "empty": empty}, file)
distributed.destroy_process_group()
if child:
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the second process is forked, so that torch is imported once")
def test_two_processes_give_the_figures_of_one(tmp_path: Path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [sys.executable, "-c", TOGETHER, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for rank in (0, 1):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        for name, figures in found["alone"].items():
            assert len(figures) >= 8, name
            for split in ("uneven", "empty"):
                assert found[split][name].keys() == figures.keys()
                for score, figure in figures.items():
                    assert found[split][name][score] == pytest.approx(figure, rel=1e-12), (name, score)
