"""Explanations by modality: what the image adds to the climate alone, which the network always needs."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from zoo_multiscale_sdm.variants import DEMO_SPECIES
from zoo_multiscale_sdm.world import write_area

import zoo
from zoo.errors import ConfigError, InputError, ZooWarning


@pytest.fixture(scope="module")
def demo():
    return zoo.load("multiscale-sdm@demo", device="cpu")


@pytest.fixture(scope="module")
def area(tmp_path_factory):
    return write_area(tmp_path_factory.mktemp("area"), sites=12, size=200)


def both(area):
    return {"sites": area / "sites.csv", "env": area / "climate.tif", "sat": area / "scene.tif"}


def probabilities(demo, sources):
    table = demo.predict(sources).table.to_pandas()
    return table[list(DEMO_SPECIES)].to_numpy()


def test_the_image_adds_the_difference_to_the_climate_alone(demo, area):
    table = demo.explain(both(area)).table.to_pandas()
    assert set(table["group"]) == {"sat"}
    values = {name: table[name].to_numpy().reshape(12, 8) for name in ("contribution", "base", "probability")}
    climate = probabilities(demo, {"sites": area / "sites.csv", "env": area / "climate.tif"})
    np.testing.assert_allclose(values["base"], climate, atol=1e-6)
    np.testing.assert_allclose(values["probability"], probabilities(demo, both(area)), atol=1e-6)
    np.testing.assert_allclose(values["contribution"], values["probability"] - climate, atol=1e-6)
    assert np.abs(values["contribution"]).max() > 0.1


def test_a_site_without_an_image_gets_nothing_from_it(demo, area, tmp_path):
    with rasterio.open(area / "scene.tif") as scene:
        pixels, profile = scene.read(), {**scene.profile, "nodata": 0}
        told, scaling = scene.descriptions, (scene.scales, scene.offsets)
    pixels[:, :, pixels.shape[2] // 2 :] = 0
    with rasterio.open(tmp_path / "half.tif", "w", **profile) as half:
        half.write(pixels)
        half.descriptions, half.scales, half.offsets = told, *scaling
    with pytest.warns(ZooWarning, match="2 of 12 sites lie where no raster of sat has data, and are answered without"):
        table = demo.explain({**both(area), "sat": tmp_path / "half.tif"}, species=DEMO_SPECIES[:1]).table
    values = table["contribution"].to_numpy()
    assert 0 < (values == 0).sum() < 12
    whole = demo.explain(both(area), species=DEMO_SPECIES[:1]).table["contribution"].to_numpy()
    assert (abs(values - whole)[values != 0] < 1e-6).any()
    assert (abs(whole[values == 0]) > 0).all()


def test_a_map_shows_what_the_image_adds(demo, area, tmp_path):
    sources = {"env": area / "climate.tif", "sat": area / "scene.tif"}
    made = demo.explain(sources, tmp_path / "why.tif", species=DEMO_SPECIES[:1], groups={"image": ("sat",)})
    assert made.names == ("image", "base", "probability")
    with rasterio.open(tmp_path / "why.tif") as file:
        image, base, whole = file.read()
    known = np.isfinite(whole)
    assert known.any()
    np.testing.assert_allclose(image[known], (whole - base)[known], atol=1e-6)


def test_what_the_network_always_needs_is_no_player(demo, area):
    with pytest.raises(
        ConfigError, match=r"'climate' names 'env', and multiscale-sdm@demo cannot do without env.*explain sat"
    ):
        demo.explain(both(area), groups={"climate": ("env",), "image": ("sat",)})
    with pytest.raises(ConfigError, match=r"'warmth' names 'bio_1', and multiscale-sdm@demo cannot do without env"):
        demo.explain(both(area), groups={"warmth": ("bio_1",)})
    with pytest.raises(ConfigError, match="has a part of sat, which is hidden as a whole; say red=sat"):
        demo.explain(both(area), groups={"red": ("S2:B04",)})
    with pytest.raises(
        InputError, match=r"nothing of the groups sat, so nothing can be explained; add --input sat=SOURCE"
    ):
        demo.explain({"sites": area / "sites.csv", "env": area / "climate.tif"})
    with pytest.raises(InputError, match=r"env-1-5-sat-25-59-115 does not explain.*variants that do: demo"):
        zoo.build("multiscale-sdm").explain(both(area))


def test_the_image_adds_to_the_auc(demo):
    found = demo.explain(None, labels="multiscale-virtual", reader_options={"n": 60}).table.to_pandas()
    assert found["group"].tolist() == ["sat"]
    assert found["auc"][0] == pytest.approx(found["base"][0] + found["contribution"][0])
    assert found["contribution"][0] > 0.0
    assert found["base"][0] > 0.75
