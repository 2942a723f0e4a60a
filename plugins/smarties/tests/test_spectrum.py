"""Bands, ranges and statistics are those that the authors published."""

import pytest
from zoo_smarties import SPEC
from zoo_smarties.spectrum import BY_NAME, NUM_LEARNED, RANGES, Blend, mixture, mixture_of_number, numbers
from zoo_smarties.statistics import DATASETS, SENSORS

from zoo import bands
from zoo.errors import InputError


def test_projection_numbers_follow_the_authors_order():
    assert [one.number for one in RANGES] == [*range(19), None]
    assert numbers(("S2:B04", "red_2", "S1:VV", "RGB:B", "L8:B2")) == (6, 6, 15, 2, 18)


@pytest.mark.parametrize(("number", "expected"), [(17, {14: 0.00015687105208527955}), (18, {0: 0.79, 1: 0.21})])
def test_the_original_blend_grows_with_distance(number, expected):
    shares = dict(mixture_of_number(number))
    assert sum(shares.values()) == pytest.approx(1)
    for layer, share in expected.items():
        assert shares[layer] == pytest.approx(share, rel=1e-12)


@pytest.mark.parametrize(
    ("band", "expected"),
    [
        ("S2:B04", {6: 1.0}),
        ("665nm", {6: 1.0}),  # the centre of 634..696
        ("650-680nm", {6: 1.0}),
        ("blue_2", {0: 0.21, 1: 0.79}),  # 482 nm lies 39.5 nm above the aerosol band and 10.5 nm below the blue one
        ("1735nm", {13: 1 - 125 / 579, 14: 125 / 579}),  # between 1610 and 2189 nm
        ("430nm", {0: 1.0}),  # within the first range, below its centre
        ("2300nm", {14: 1.0}),
    ],
)
def test_a_closer_layer_weighs_more(band, expected):
    assert dict(mixture(band)) == pytest.approx(expected)


@pytest.mark.parametrize("band", ["S2:B10", "L8:B9", "L8:B10", "S1:HH", "5.5e7nm", "380nm", "3000nm", "B04", "red"])
def test_bands_out_of_reach_are_refused_with_advice(band):
    with pytest.raises(InputError, match="SMARTIES"):
        mixture(band)


def test_thermal_goes_by_the_original_rule_only_when_asked():
    assert dict(mixture("L8:B10", Blend.ORIGINAL))[15] == pytest.approx(0.99984312894791472, rel=1e-12)


def test_every_input_has_a_projection_and_the_unit_of_its_statistics():
    for variant in SPEC.variants:
        for spec in variant.inputs:
            for band in spec.bands:
                assert bands.VOCABULARY[band.id]
                assert all(layer < NUM_LEARNED for layer, _ in mixture(band.id))
                assert (band.unit == "dB") == (band.id.startswith("S1:"))


def test_joint_input_keeps_each_sensors_statistics():
    joint = next(spec for spec in SPEC.default.inputs if spec.label == "S1+S2")
    assert joint.band_ids[-2:] == ("S1:VV", "S1:VH")
    percentile, normalise = joint.steps[:2]
    assert percentile.low[-2:] == SENSORS["SENTINEL1-GRD"].p1
    assert normalise.mean[:12] == SENSORS["SENTINEL2-L2A"].mean


def test_cirrus_and_the_radar_of_dfc2020_are_left_out():
    assert len(DATASETS["EuroSAT"].ranges) == 12
    assert "short_wave_infrared_2" not in SENSORS["SENTINEL2-L1C"].ranges
    assert [BY_NAME[name].band for name in DATASETS["DFC2020"].ranges[-2:]] == ["S2:B11", "S2:B12"]
