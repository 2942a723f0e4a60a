"""Background points on two processes, as a cluster starts them: the items of a batch are shared, and the loss is of all."""

import os
import subprocess
import sys

import glc23_layout as layout
import torch
from safetensors.torch import load_file

import zoo

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "zoo"]


def test_two_processes_learn_with_background_points_what_one_learns(tmp_path):
    """With batch norms as they are: in training, each process has the statistics of its share."""
    root = layout.write(tmp_path / "GLC23")
    settings = [f"data.folder={root}", "epochs=2", "batch=4", "workers=0", "trackers=[]", 'eval_mode=["*.backbone"]']
    zoo.train(zoo.recipe("multiscale-sdm@env-1-5", "glc23-background", *settings), out=tmp_path / "one")
    done = subprocess.run(
        [*TORCHRUN, "train", "multiscale-sdm@env-1-5", "glc23-background", *settings, "--out", str(tmp_path / "two")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    one, two = (load_file(tmp_path / name / "model/model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=2e-5, atol=1e-6)
    plain = ["data.options.background=false", "objective_options.absences=1.0"]
    other = zoo.train(
        zoo.recipe("multiscale-sdm@env-1-5", "glc23-background", *settings, *plain), out=tmp_path / "none"
    )
    differ = (other.model.module.head.bias - one["head.bias"]).abs().max()
    assert differ > 1e-4  # the points were there
