"""Places in another CRS."""

from __future__ import annotations

import numpy as np
import pytest
from rasterio.crs import CRS

from zoo.io.vectors import reproject, reproject_known

DEGREES, SWISS, GNOMONIC = CRS.from_epsg(4326), CRS.from_epsg(2056), CRS.from_string("+proj=gnom +lat_0=47 +lon_0=8")


def test_places_that_a_crs_cannot_hold_are_not_known_and_the_others_are_where_they_were() -> None:
    places = np.array([[8.2, 46.9], [8.2, 91.0], [np.nan, 46.9], [np.inf, 0], [7.4, 46.5]])[:, None]

    found = reproject_known(places, DEGREES, SWISS)

    good = [0, 4]
    np.testing.assert_allclose(found[good], reproject(places[good], DEGREES, SWISS), rtol=0, atol=1e-6)
    assert np.isnan(found[[1, 2, 3]]).all()


def test_half_of_the_earth_is_beyond_a_gnomonic_map() -> None:
    places = np.array([[8.0, 47.0], [-172.0, -47.0], [-100.0, 0.0]])[:, None]

    found = reproject_known(places, DEGREES, GNOMONIC)

    assert found[0, 0] == pytest.approx([0, 0], abs=1e-6)
    assert np.isnan(found[1:]).all()


def test_places_that_all_can_be_moved_are_moved_as_ever() -> None:
    places = np.random.default_rng(0).uniform((6, 46), (10, 47.5), (100, 1, 2))

    assert np.array_equal(reproject_known(places, DEGREES, SWISS), reproject(places, DEGREES, SWISS))
    assert reproject_known(places[:0], DEGREES, SWISS).shape == (0, 1, 2)
