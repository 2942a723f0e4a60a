"""The numbers of a file are brought to the training data's, and doubted when they cannot be."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from zoo.errors import InputError, ZooWarning
from zoo.inputs.preprocess import Preprocess
from zoo.inputs.radiometry import Radiometry, product_level, radiometry
from zoo.inputs.ranges import check_range
from zoo.spec import Band, Clip, Decibel, InputSpec, Kind, Normalise, Percentile, Scale

OURS = "ours: test"
S2 = InputSpec(
    name="image",
    kind=Kind.RASTER,
    label="S2-L2A",
    level="L2A",
    scale=1e-4,
    bands=(Band(id="S2:B04", unit="DN"), Band(id="S2:B12", unit="DN")),
    steps=(Percentile(low=(12.5, 4.3), high=(2829.5, 3387.4), source="gsumbul/SMARTIES@fc0df04"),),
)
S1 = InputSpec(
    name="image",
    kind=Kind.RASTER,
    label="S1",
    bands=(Band(id="S1:VV", unit="dB"), Band(id="S1:VH", unit="dB")),
    steps=(Percentile(low=(-29.5, -33.4), high=(-3.5, -9.9), source="gsumbul/SMARTIES@fc0df04"),),
)
RGB = InputSpec(
    name="image",
    kind=Kind.IMAGE,
    label="RGB",
    bands=tuple(Band(id=f"RGB:{name}", unit="DN") for name in "RGB"),
    steps=(Percentile(low=(2.3, 0.8, 0.3), high=(254.8,) * 3, source="gsumbul/SMARTIES@fc0df04"),),
)
MIXED = InputSpec(name="image", kind=Kind.RASTER, label="S1+S2", bands=(*S2.bands, *S1.bands))


def mapped(said: Radiometry, spec: InputSpec, *numbers: float) -> list[list[float]]:
    """Per band, the numbers as the first step would see them."""
    bare = InputSpec(name="image", kind=Kind.RASTER, bands=spec.bands)
    pixels = torch.tensor(numbers, dtype=torch.float64).expand(1, len(spec.bands), 1, -1)
    return Preprocess(bare, to_declared=said.to_declared(spec))(pixels)[0, :, 0].tolist()


def of_file(tags=None, scales=(1.0, 1.0), offsets=(0.0, 0.0), **said) -> Radiometry:
    return radiometry(tags or {}, scales, offsets, **said)


# ------------------------------------------------------------------------------------------------------ what files say


def test_a_file_that_says_nothing_is_taken_as_it_is():
    assert mapped(of_file(), S2, 0, 500, 3000)[0] == [0, 500, 3000]
    assert mapped(of_file(), S1, -20.5)[0] == [-20.5]


@pytest.mark.parametrize(
    "tags",
    [
        {"PROCESSING_BASELINE": "05.09"},
        {"s2:processing_baseline": "04.00"},
        {"BOA_ADD_OFFSET": "-1000"},
        {"RADIO_ADD_OFFSET_0": "-1000", "RADIO_ADD_OFFSET_1": "-1000"},
        {"BOA_ADD_OFFSET": "[-1000, -1000]", "PROCESSING_BASELINE": "05.00"},
    ],
)
def test_the_offset_of_newer_baselines_is_subtracted_down_to_zero(tags):
    assert mapped(of_file(tags), S2, 400, 1000, 4000) == [[0, 0, 3000]] * 2


@pytest.mark.parametrize(
    "tags",
    [
        {"PROCESSING_BASELINE": "03.01"},
        {"PROCESSING_BASELINE": "N0214"},
        {"PROCESSING_BASELINE": "05.09", "earthsearch:boa_offset_applied": "true"},
    ],
)
def test_older_or_harmonised_numbers_stay(tags):
    said = of_file(tags)
    assert said.says_baseline
    assert mapped(said, S2, 400, 4000)[0] == [400, 4000]


def test_scale_and_offset_of_the_file():
    with_offset = of_file(scales=(1e-4, 1e-4), offsets=(-0.1, -0.1), tags={"PROCESSING_BASELINE": "05.09"})
    np.testing.assert_allclose(mapped(with_offset, S2, 400, 4000)[0], [0, 3000], atol=1e-3)  # once, not twice
    np.testing.assert_allclose(mapped(of_file(scales=(2e-4, 1e-4)), S2, 500), [[1000], [500]], rtol=1e-6)
    np.testing.assert_allclose(mapped(of_file(scales=(0.01, 0.01)), S1, -2050)[0], [-20.5], rtol=1e-6)


def test_only_sentinel_2_has_the_offset():
    said = of_file({"PROCESSING_BASELINE": "05.09"}, (1.0,) * 4, (0.0,) * 4)
    assert mapped(said, MIXED, 4000) == [[3000], [3000], [4000], [4000]]
    assert mapped(said, MIXED, -20)[2:] == [[-20], [-20]]  # decibels are not cut at 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tags": {"PROCESSING_BASELINE": "new"}}, "baseline 'new'; expected one like 03.01"),
        ({"tags": {"BOA_ADD_OFFSET": "-1000,-500"}}, "BOA_ADD_OFFSET differs by band (-1000 to -500)"),
        ({"offsets": (-1000.0, -1000.0)}, "declares scale 1 and offset -1000"),
        (
            {"tags": {"BOA_ADD_OFFSET": "-1000"}, "scales": (1e-4, 1e-4)},
            "declares scale 0.0001 with offset 0, but its tags say that 1000 is to be subtracted; say --baseline 04.00",
        ),
        ({"scale": 0.0}, "got --scale 0; expected a number other than 0"),
        ({"baseline": "five"}, "baseline 'five'; expected one like 03.01 or 05.09 (--baseline 05.09)"),
        ({"baseline": "05.09", "offset": -0.1}, "got --baseline 05.09 and --offset -0.1"),
        ({"tags": {"PROCESSING_BASELINE": "05.09"}, "scale": 1e-4}, "an offset of -1000 DN is to be added; say the"),
    ],
)
def test_contradictions_are_refused(arguments, words):
    with pytest.raises(InputError) as error:
        of_file(**arguments, where="scene.tif")
    assert str(error.value).startswith("scene.tif: ")
    assert words in str(error.value)


def test_a_declared_scale_of_plain_digital_numbers_is_refused():
    said = of_file(scales=(1 / 255,) * 3, offsets=(0.0,) * 3)
    with pytest.raises(InputError, match=r"declares scale 0\.00392157 .* RGB:R.* --scale 1 "):
        said.to_declared(RGB)
    assert mapped(of_file(scales=(1 / 255,) * 3, offsets=(0.0,) * 3, scale=1.0), RGB, 200)[0] == [200]


# ------------------------------------------------------------------------------------------------------- what one says


def test_options_count_before_the_file():
    tags = {"PROCESSING_BASELINE": "05.09"}
    assert mapped(of_file(tags, baseline="03.01"), S2, 4000)[0] == [4000]
    assert mapped(of_file(baseline="05.09"), S2, 4000)[0] == [3000]
    assert mapped(of_file(tags, offset=0.0), S2, 4000)[0] == [4000]
    np.testing.assert_allclose(mapped(of_file(scale=1.0), S2, 0.25)[0], [2500], rtol=1e-6)
    np.testing.assert_allclose(mapped(of_file(scale=1.0, offset=-0.1), S2, 0.25, 0.05)[0], [1500, 0], rtol=1e-6)
    np.testing.assert_allclose(mapped(of_file(offset=-0.1), S2, 2500)[0], [1500], rtol=1e-6)
    np.testing.assert_allclose(mapped(of_file(scale=1e-4, baseline="05.09"), S2, 2500)[0], [1500], rtol=1e-6)


def test_one_scale_for_bands_of_several_units_is_refused():
    with pytest.raises(InputError, match=r"--scale and --offset hold for all bands, but S1\+S2 has bands in DN and dB"):
        of_file(scales=(1.0,) * 4, offsets=(0.0,) * 4, scale=1e-4).to_declared(MIXED)


def test_levels():
    assert product_level({"PROCESSING_LEVEL": "Level-2A"}) == "L2A"
    assert product_level({"PRODUCT_TYPE": "S2MSI1C"}) == "L1C"
    assert product_level({"PRODUCT_URI": "S2B_MSIL2A_20250302T095029_N0511_R079_T33UXP_20250302T104753.SAFE"}) == "L2A"
    assert product_level({"processing:level": "L2A"}) == "L2A"
    assert product_level({"s2:product_type": "S2MSI2A"}) == "L2A"
    assert product_level({"AREA_OR_POINT": "Area"}) is None


# -------------------------------------------------------------------------------------------------------------- doubts


def doubted(spec: InputSpec, *percentiles, said: Radiometry | None = None) -> str:
    """The one warning of a check; `percentiles` per band."""
    with pytest.warns(ZooWarning) as caught:
        check_range(spec, np.array(percentiles).T, radiometry=said, where="scene.tif")
    assert len(caught) == 1
    message = str(caught[0].message)
    assert message.startswith("scene.tif: ")
    assert message.endswith(f"(input {spec.label})")
    return message


def test_usual_numbers_are_not_doubted():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_range(S2, np.array([(120, 600, 2500), (80, 900, 3500)]).T)
        check_range(S2, np.array([(1120, 1600, 3500), (1080, 1900, 4500)]).T, radiometry=of_file(baseline="05.09"))
        check_range(S2, np.array([(1120, 1600, 3500), (1080, 1900, 4500)]).T, radiometry=of_file(baseline="03.01"))
        check_range(S1, np.array([(-25, -12, -5), (-30, -18, -10)]).T)
        check_range(RGB, np.array([(3, 90, 250)] * 3).T)
        check_range(S2, np.array([(np.nan,) * 3] * 2).T)


def test_reflectance_for_digital_numbers():
    message = doubted(S2, (0.012, 0.06, 0.25), (0.008, 0.09, 0.35))
    assert "S2:B04 has percentiles 1, 50, 99 of 0.012, 0.06, 0.25" in message
    assert "expected about 12.5 to 2830 DN" in message
    assert "--scale 1" in message
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_range(S2, np.array([(0.012, 0.06, 0.25)] * 2).T, radiometry=of_file(scale=1.0))


def test_a_scale_that_is_applied_twice():
    message = doubted(S2, (120, 600, 2500), (80, 900, 3500), said=of_file(scale=1.0))
    assert "1.2e+06, 6e+06, 2.5e+07" in message


def test_floats_and_sixteen_bits_for_a_photograph():
    assert "--scale 255" in doubted(RGB, *[(0.0, 0.4, 0.98)] * 3)
    message = doubted(RGB, *[(300, 900, 3000)] * 3)
    assert "300, 900, 3000" in message
    assert "--scale 0.085" in message


def test_photographs_are_usual_where_only_mean_and_spread_are_known():
    imagenet = Normalise(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), source="torchvision")
    spec = InputSpec(
        name="image",
        kind=Kind.IMAGE,
        label="RGB",
        bands=RGB.bands,
        steps=(Scale(factor=1 / 255, source="8 bit"), imagenet),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_range(spec, np.array([(3, 90, 255)] * 3).T)
    assert "--scale 255" in doubted(spec, *[(0.0, 0.4, 0.98)] * 3)
    assert "--scale 0.0911" in doubted(spec, *[(300, 900, 2800)] * 3)


def test_a_picture_for_a_product():
    assert "8 bit" in doubted(S2, (3, 90, 250), (5, 80, 240))


def test_linear_power_for_decibels_and_the_reverse():
    message = doubted(S1, (0.003, 0.06, 0.4), (0.001, 0.01, 0.1))
    assert "0.003, 0.06, 0.4" in message
    assert "-29.5 to -3.5 dB" in message
    assert "10 * log10(power)" in message
    linear = InputSpec(
        name="image",
        kind=Kind.RASTER,
        label="S1 power",
        bands=tuple(Band(id=band.id, unit="power") for band in S1.bands),
        steps=(Decibel(floor_db=-40, source=OURS), *S1.steps),
    )
    assert "expected about 0.001122 to 0.4467 power: decibels" in doubted(linear, (-25, -12, -5), (-30, -18, -10))


def test_the_baseline_offset_still_there_or_removed_twice():
    message = doubted(S2, (1120, 1600, 3500), (1080, 1900, 4500))
    assert "S2:B12 has percentiles 1, 50, 99 of 1080, 1900, 4500" in message
    assert "--baseline 04.00" in message
    message = doubted(S2, (120, 600, 2500), (80, 1900, 3500), said=of_file({"PROCESSING_BASELINE": "05.09"}))
    assert "120, 600, 2500 (as declared: -880, -400, 1500)" in message
    assert "--baseline 03.01" in message


def test_an_empty_band():
    message = doubted(S2, (120, 600, 2500), (0, 0, 0))
    assert "nothing but one number in S2:B12 = 0" in message
    assert "- in --bands, or say --nodata 0" in message
    assert "--nodata -9999" in doubted(S2, (-9999, -9999, -9999), (-9999, -9999, -9999))


def test_a_band_far_from_its_usual_range():
    message = doubted(S1, (-25, -12, -5), (150, 170, 190))
    assert "S1:VH has percentiles 1, 50, 99 of 150, 170, 190, expected about -33.4 to -9.9 dB" in message
    assert "--bands" in message


@pytest.mark.parametrize(
    "steps",
    [
        (Scale(factor=1e-4, source=OURS), Clip(low=0, high=0.3, source=OURS)),
        (Scale(factor=1e-4, source=OURS), Normalise(mean=(0.15, 0.15), std=(0.05, 0.05), source=OURS)),
    ],
)
def test_the_usual_range_is_read_through_the_steps(steps):
    spec = InputSpec(name="image", kind=Kind.RASTER, label="S2", scale=1e-4, bands=S2.bands, steps=steps)
    assert "expected about 0 to 3000 DN" in doubted(
        spec, (9000, 9500, 9999), (8000, 8100, 8200), said=of_file(offset=0)
    )
