"""The command line: `zoo embed`, in this process and shared among processes."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import zoo
from zoo.cli import main
from zoo.errors import ConfigError

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


@pytest.mark.parametrize("suffix", ["tif", "parquet"])
def test_two_processes_write_the_same_bytes_as_one(installed_toy, scene, tmp_path, zoo_command, two_processes, suffix):
    network, log = tmp_path / "site" / "toy_network" / "network.py", tmp_path / "log"
    network.write_text(network.read_text().replace("self.calls.append(len(image))", f"_log({str(log)!r})") + LOG)
    arguments = ["embed", installed_toy, scene, "--batch-size", "2"]
    for name, processes in (("one", 1), ("two", 2)):
        log.write_text("")
        out = tmp_path / f"{name}.{suffix}"
        if processes == 1:
            assert zoo_command(*arguments, out)[0] == 0
        else:
            two_processes(*arguments, out)
        batches = log.read_text().split()
        assert len(batches) == 8  # 15 windows, two a batch: each computed once, and by all processes
        assert len(set(batches)) == processes
    assert digest(tmp_path / f"one.{suffix}") == digest(tmp_path / f"two.{suffix}")
    assert not list(tmp_path.glob("*.parts"))


def test_ctrl_c_leaves_no_output_and_resume_finishes_it(installed_toy, scene, tmp_path, zoo_command):
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
    arguments = ["embed", installed_toy, scene, "--batch-size", "1"]
    assert zoo_command(*arguments, out, "--resume")[0] == 0
    assert zoo_command(*arguments, tmp_path / "whole.tif")[0] == 0
    assert digest(out) == digest(tmp_path / "whole.tif")


@pytest.fixture
def launched(capfd, monkeypatch):
    """`launched("embed", ...)` with `--processes 2`, started from here: (exit code, stderr of all processes)."""
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in (*arguments, "--processes", "2")])
        return ended.value.code, capfd.readouterr().err

    return run


def test_processes_are_started_and_share(installed_toy, scene, tmp_path, launched):
    assert launched("embed", installed_toy, scene, tmp_path / "two.tif")[0] == 0
    zoo.load(installed_toy, device="cpu").embed(scene, tmp_path / "one.tif")
    assert digest(tmp_path / "one.tif") == digest(tmp_path / "two.tif")
    assert not list(tmp_path.glob("*.parts"))
    # What both meet is said once.
    code, errors = launched("embed", installed_toy, scene, tmp_path / "three.tif", "--bands", "B02,B03")
    assert code == 1
    assert "Traceback" not in errors
    assert errors.count("--bands names 2 channels") == 1
    assert not list(tmp_path.glob("three*"))


def test_plain_torchrun_without_an_accelerator_shares_too(installed_toy, scene, tmp_path, zoo_command):
    out, one = tmp_path / "features.tif", tmp_path / "one.tif"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*torchrun, "-m", "zoo", "embed", installed_toy, str(scene), str(out)]
    subprocess.run(command, check=True, capture_output=True, timeout=240)
    assert zoo_command("embed", installed_toy, scene, one)[0] == 0
    assert digest(out) == digest(one)


def test_what_one_process_alone_meets_ends_all(installed_toy, scene, tmp_path, launched):
    """A block that cannot be read, in batch 21 of 64: the other process waits, and is not left waiting."""
    tiled = tmp_path / "tiled.tif"
    profile = {"driver": "GTiff", "height": 512, "width": 512, "count": 3, "dtype": "uint16", "tiled": True}
    place = {"crs": "EPSG:32632", "transform": from_origin(500_000, 5_200_000, 10, 10)}
    pixels = np.random.default_rng(0).integers(1, 60, (3, 512, 512)).astype("uint16")
    with rasterio.open(tiled, "w", blockxsize=32, blockysize=32, compress="deflate", **profile, **place) as file:
        file.write(pixels)
        file.descriptions = BANDS
    with rasterio.open(tiled) as file:  # block of column 4, row 5: between the places that are sampled beforehand
        offset = int(file.get_tag_item("BLOCK_OFFSET_4_5", "TIFF", bidx=1))
    content = bytearray(tiled.read_bytes())
    content[offset : offset + 200] = bytes(200)
    tiled.write_bytes(content)
    before = time.monotonic()
    code, errors = launched("embed", installed_toy, tiled, tmp_path / "out.tif", "--batch-size", "4")
    assert time.monotonic() - before < 90
    assert code == 1
    assert errors.count("cannot read rows 160-191, columns 128-159") == 1
    assert errors.count("zoo: ") == 1
    assert "Traceback" not in errors
    assert not (tmp_path / "out.tif").exists()
    assert not list(tmp_path.glob(".out*"))


def test_no_data_in_several_processes(installed_toy, scene, tmp_path, launched):
    with rasterio.open(scene, "r+") as file:
        file.write(np.zeros((3, 92, 132), "uint16"))
    code, errors = launched("embed", installed_toy, scene, tmp_path / "out.tif", "--batch-size", "2")
    assert code == 1
    assert errors.count("scene.tif holds no data") == 1
    assert "Traceback" not in errors
    assert not list(tmp_path.glob("out*"))


def test_results_in_memory_are_for_one_process(installed_toy, scene, monkeypatch, zoo_command):
    crew = SimpleNamespace(num_processes=2, process_index=0, is_main_process=True)
    monkeypatch.setattr("zoo.predict.work.processes", lambda: crew)
    model = zoo.load(installed_toy, device="cpu")
    for source in (scene, [scene, scene]):
        with pytest.raises(ConfigError, match="results in memory are for one process; name an output file"):
            model.embed(source)
    code, _, errors = zoo_command("count", installed_toy, scene, "--processes", "2")
    assert code == 1
    assert "several processes share their work beside OUT; name one: zoo count toy" in errors
