"""torchrun, as a cluster starts it: training, evaluation and prediction are shared by two processes over gloo."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import from_origin
from safetensors.torch import load_file

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "zoo"]


def write_scene(path):
    profile = {"driver": "GTiff", "width": 24, "height": 16, "count": 3, "dtype": "float32", "crs": "EPSG:32632"}
    with rasterio.open(path, "w", transform=from_origin(0, 0, 10, 10), **profile) as sink:
        sink.write(np.random.default_rng(0).random((3, 16, 24), np.float32))
        sink.descriptions = ("S2:B02", "S2:B03", "S2:B04")


def test_torchrun_trains_evaluates_and_predicts_as_one_process_does(learner, recipe_file, environment, zoo_command):
    settings = ("network.dropout=0", "validation.split=val", "epochs=1")
    write_scene(learner / "scene.tif")
    steps = [
        ("train", "learner", recipe_file(), *settings, "--out", "{}"),
        ("evaluate", "./{}", "toy-chips", "n=19", "--split", "val", "--out", "{}.json"),
        ("classify", "./{}/model", "scene.tif", "{}.csv"),
    ]
    for step in steps:
        code, _, err = zoo_command(*(str(one).format("one") for one in step))
        assert code == 0, err
        done = subprocess.run(
            [*TORCHRUN, *(str(one).format("two") for one in step)],
            env={**environment, "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    one, two = (load_file(learner / name / "model/model.safetensors") for name in ("one", "two"))
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=2e-4, atol=2e-5)
    rows = [np.loadtxt(learner / f"{name}.csv", delimiter=",", skiprows=1, dtype=str) for name in ("one", "two")]
    scores = [[[float(cell) for cell in row if _is_number(cell)] for row in table] for table in rows]
    assert len(rows[0]) == 6
    for first, second in zip(*scores, strict=True):
        assert first == pytest.approx(second, abs=1e-4)
    assert (learner / "two.json").exists()


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True
