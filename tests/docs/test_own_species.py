"""The page about species of one's own, command by command, on a virtual species of the invented world."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform

from zoo.samples.noise import uniform
from zoo.samples.world import Frame, build_world

PAGE = (Path(__file__).parents[2] / "docs/own_species.md").read_text()
SIDE, FINDS = 96, 80


@pytest.fixture
def firs(tmp_path, monkeypatch):
    """Rasters of a landscape, and finds of a fir where it is neither warm nor steep."""
    monkeypatch.chdir(tmp_path)
    world, frame = build_world(12), Frame.centred(SIDE, pixel_m=240.0)
    place = world.at(frame)
    slope = np.degrees(np.arctan(np.hypot(*place.gradient)))
    (tmp_path / "climate").mkdir()
    told = {"bio_1": place.temperature_c, "bio_12": place.precipitation_mm, "Slope": slope}
    grid = {"height": SIDE, "width": SIDE, "crs": f"EPSG:{world.epsg}", "transform": world.transform(frame)}
    for name, values in told.items():
        with rasterio.open(
            tmp_path / "climate" / f"{name}.tif", "w", driver="GTiff", count=1, dtype="float32", **grid
        ) as sink:
            sink.write(values.astype(np.float32), 1)
    chance = 0.8 * np.exp(-0.5 * (((place.temperature_c - 9) / 1.5) ** 2 + ((slope - 8) / 8) ** 2)).ravel()
    there = np.flatnonzero(uniform(0, 1, np.arange(SIDE * SIDE)) < chance)
    rows, cols = np.divmod(there[np.argsort(uniform(0, 2, there))[:FINDS]], SIDE)
    lon, lat = transform(grid["crs"], "EPSG:4326", *(grid["transform"] * (cols + 0.5, rows + 0.5)))
    lines = [f"Abies ficta,{x:.6f},{y:.6f}" for x, y in zip(lon, lat, strict=True)]
    (tmp_path / "occurrences.csv").write_text("\n".join(["species,decimalLongitude,decimalLatitude", *lines]) + "\n")
    return tmp_path


@pytest.mark.filterwarnings("ignore::zoo.errors.ZooWarning")  # three of the model's predictors are not there
def test_the_page_s_commands_go_from_occurrences_to_a_map(firs, zoo_command, capsys):
    """With fewer points and epochs than the page says."""
    shell = "\n".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)).replace("\\\n", " ")
    ran = []
    for line in filter(None, shell.splitlines()):
        words = shlex.split(line.replace("background=2000", "background=150").replace("--folds 5", "--folds 3"))
        short = ["epochs=1", "trackers=[]"] if words[1] == "train" else []
        code, said, errors = zoo_command(*words[1:], *short)
        assert code == 0, errors
        ran.append((words[1], said))
        if words[1] == "train":
            assert f"occurrences.csv: {FINDS} finds of 1 species, 150 background points\n" in errors
        if words[1] == "evaluate":
            assert errors.startswith("as in training: background=150 covariates=climate block_km=3")
            assert said.startswith("fir (masksdm@demo) on sites (test)")
    assert [verb for verb, _ in ran] == ["train", "evaluate", "train", "predict"]
    first, second = json.loads(Path("runs/fir/environment.json").read_text())["read"]
    sizes = [int(one) for one in re.findall(r"Abies ficta \((\d+) \+ (\d+) \+ (\d+)\)", second)[0]]
    assert (first.endswith("150 background points"), sum(sizes)) == (True, FINDS)
    told = json.loads(Path("scores.json").read_text())
    assert told["notes"][0].startswith("absences are background points")
    assert "note: absences are background points" in ran[1][1]
    assert {"auc_mean", "tss", "boyce", "calibration_error"} <= told["metrics"].keys()
    assert Path("calibration.png").read_bytes().startswith(b"\x89PNG")
    folds = json.loads(Path("runs/fir-folds/folds.json").read_text())
    assert len(folds["metrics"]["auc_mean"]["values"]) == 3
    assert sum(folds["num_samples"]) == FINDS + 150
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    exec(compile(code, "own_species.md", "exec"), {})
    assert re.fullmatch(r"\d+% of the map\n", capsys.readouterr().out)
    with rasterio.open("fir.tif") as fir:
        assert (fir.height, fir.descriptions) == (SIDE, ("Abies ficta",))
