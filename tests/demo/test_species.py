"""The chapters of species: their maps are the model's, their pictures show something, their commands are true."""

import base64
import html
import io
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from zoo import demo
from zoo.demo import species
from zoo.demo.images import ramp


@pytest.fixture(scope="module", params=["masksdm", "multiscale-sdm"])
def made(request, tmp_path_factory):
    """A page of a small place, and the folder in which it was asked for."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr(species, "EXTENT_M", 3600.0)
        demo.run(Path("zoo-demo"), (request.param,))
    return request.param, home


def page(home):
    return (home / "zoo-demo/index.html").read_text(encoding="utf-8")


def test_pictures_show_something_and_are_described(made):
    name, home = made
    found = re.findall(r'<img[^>]*src="data:image/[a-z]+;base64,([^"]+)" alt="([^"]+)"', page(home))
    assert len(found) == {"masksdm": 4 + 3 + 3 + 4, "multiscale-sdm": 4 + 3}[name]
    for body, alt in found:
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(body))).convert("RGB"), float)
        assert pixels.std() > 0.5  # the least: what the location adds
        assert len(alt) > 10
    assert "demo weights: not for science" in page(home)


def test_the_map_lies_where_the_rasters_do_and_differs_from_cell_to_cell(made):
    name, home = made
    folder = home / "zoo-demo" / name
    with rasterio.open(folder / "species.tif") as maps, rasterio.open(folder / "predictors.tif") as rasters:
        assert maps.crs == rasters.crs
        inside, outside = maps.bounds, rasters.bounds
        assert outside.left <= inside.left < inside.right <= outside.right
        assert maps.count == species.SHOWN
        assert maps.shape == (20, 20)
        values = maps.read()
    assert np.isfinite(values).all()
    assert (values.std(axis=(1, 2)) > 0.05).all()


def test_commands_on_the_page_write_the_same_files_again(made, zoo_command, monkeypatch):
    name, home = made
    monkeypatch.chdir(home)
    told = "\n".join(re.findall(r"<pre><code>(.*?)</code></pre>", page(home), re.DOTALL))
    commands = [shlex.split(line) for line in html.unescape(told).splitlines()]
    assert len(commands) == 2
    for program, *arguments in commands:
        written = Path(arguments[3])
        known = written.read_bytes()
        written.unlink()
        assert program == "zoo"
        code, _, _ = zoo_command(*arguments)
        assert code == 0
        assert written.read_bytes() == known, (name, written)


def test_a_ramp_goes_evenly_along_its_colours_and_leaves_out_what_is_not_known():
    found = ramp(np.array([[0.0, 0.25, 1.0, np.nan, 2.0]]), ("#000000", "#ffffff"))
    assert found[0].tolist() == [
        [0, 0, 0, 255],
        [64, 64, 64, 255],
        [255, 255, 255, 255],
        [0, 0, 0, 0],
        [255, 255, 255, 255],
    ]
