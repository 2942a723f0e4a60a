"""The command line: `zoo embed`, in this process and shared among processes."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

LOG = """

def _log(path):
    import os

    with open(path, "a") as file:
        file.write(f"{os.getpid()}\\n")
"""
BANDS = ("S2:B02", "S2:B03", "S2:B04")


@pytest.fixture
def scene(tmp_path):
    pixels = np.random.default_rng(0).integers(1, 60, (3, 92, 132)).astype("uint16")
    profile = {"driver": "GTiff", "height": 92, "width": 132, "count": 3, "dtype": "uint16", "nodata": 0}
    path = tmp_path / "scene.tif"
    with rasterio.open(
        path, "w", crs="EPSG:32632", transform=from_origin(500_000, 5_200_000, 10, 10), **profile
    ) as file:
        file.write(pixels)
        file.descriptions = BANDS
    return path


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_embed_writes_what_it_says(installed_toy, scene, tmp_path, zoo_command):
    out = tmp_path / "features.tif"
    code, said, errors = zoo_command("embed", installed_toy, scene, out)
    assert (code, said, errors) == (0, f"wrote {out}\n", "")
    with rasterio.open(out) as file:
        assert file.count == 3
        assert file.tags()["ZOO_WEIGHTS"] == "toy_network:weights.safetensors"


def test_an_output_that_exists_is_kept_unless_forced(installed_toy, scene, tmp_path, zoo_command):
    out = tmp_path / "features.tif"
    out.write_bytes(b"mine")
    code, _, errors = zoo_command("embed", installed_toy, scene, out)
    assert code == 1
    assert "--force" in errors
    assert out.read_bytes() == b"mine"
    assert zoo_command("embed", installed_toy, scene, out, "--force")[0] == 0
    assert out.stat().st_size > 100


def test_a_folder_with_a_corrupt_file_exits_with_1_and_writes_the_rest(installed_toy, scene, tmp_path, zoo_command):
    (tmp_path / "chips").mkdir()
    (tmp_path / "chips" / "good.tif").write_bytes(scene.read_bytes())
    (tmp_path / "chips" / "bad.tif").write_bytes(b"II*\0")
    out = tmp_path / "rows.csv"
    code, said, errors = zoo_command("embed", installed_toy, tmp_path / "chips", out)
    assert code == 1
    assert "bad.tif" in errors
    assert "1 of the files could not be used" in errors
    assert said == f"wrote {out}\n"
    assert "good.tif" in out.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bands", "B02,B03"], "--bands names 2 channels (B02, B03), the file has 3"),
        (["--sensor", "S9"], "no input 'S9'"),
        (["--window", "30"], "try --window 28"),
    ],
)
def test_errors_say_what_to_type(installed_toy, scene, tmp_path, zoo_command, arguments, message):
    out = tmp_path / "features.tif"
    code, _, errors = zoo_command("embed", installed_toy, scene, out, *arguments)
    assert code == 1
    assert message in errors
    assert sorted(file.name for file in tmp_path.iterdir()) == ["scene.tif", "site"]


def test_two_processes_write_the_same_bytes_as_one(installed_toy, scene, tmp_path):
    network, log = tmp_path / "site" / "toy_network" / "network.py", tmp_path / "log"
    network.write_text(network.read_text().replace("self.calls.append(len(image))", f"_log({str(log)!r})") + LOG)
    command = [sys.executable, "-m", "zoo", "embed", installed_toy, str(scene)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for name, processes in (("one", 1), ("two", 2)):
        for suffix in ("tif", "parquet"):
            out = str(tmp_path / f"{name}.{suffix}")
            log.write_text("")
            subprocess.run(
                [*command, out, "--batch-size", "2", "--processes", str(processes)],
                check=True,
                env=environment,
                capture_output=True,
            )
            batches = log.read_text().split()
            assert len(batches) == 8  # 15 windows, two a batch: each computed once, and by all processes
            assert len(set(batches)) == processes
    for suffix in ("tif", "parquet"):
        assert digest(tmp_path / f"one.{suffix}") == digest(tmp_path / f"two.{suffix}")
    assert not list(tmp_path.glob("*.parts"))


def test_ctrl_c_leaves_no_output_and_resume_finishes_it(installed_toy, scene, tmp_path):
    slow = tmp_path / "site" / "toy_network" / "network.py"
    text = slow.read_text()
    slow.write_text(text.replace("self.calls.append(len(image))", "__import__('time').sleep(0.3)"))
    out = tmp_path / "features.tif"
    command = [sys.executable, "-m", "zoo", "embed", installed_toy, str(scene), str(out), "--batch-size", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    parts = tmp_path / "features.tif.parts"
    deadline = time.monotonic() + 60
    while len(list(parts.glob("0*.safetensors"))) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume" in errors
    assert "Traceback" not in errors
    assert not out.exists()
    slow.write_text(text)
    subprocess.run([*command, "--resume"], check=True, capture_output=True)
    whole = tmp_path / "whole.tif"
    subprocess.run([*command[:6], str(whole), "--batch-size", "1"], check=True, capture_output=True)
    assert digest(out) == digest(whole)


def test_what_one_of_two_processes_meets_is_said_once(installed_toy, scene, tmp_path):
    out = tmp_path / "features.tif"
    command = [sys.executable, "-m", "zoo", "embed", installed_toy, str(scene), str(out), "--bands", "B02,B03"]
    done = subprocess.run([*command, "--processes", "2"], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "--bands names 2 channels" in done.stderr
    assert not list(tmp_path.glob("features*"))


def test_plain_torchrun_without_an_accelerator_shares_too(installed_toy, scene, tmp_path):
    out, one = tmp_path / "features.tif", tmp_path / "one.tif"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    arguments = ["-m", "zoo", "embed", installed_toy, str(scene)]
    subprocess.run([*torchrun, *arguments, str(out)], check=True, capture_output=True, timeout=240)
    subprocess.run([sys.executable, *arguments, str(one)], check=True, capture_output=True, timeout=120)
    assert digest(out) == digest(one)
