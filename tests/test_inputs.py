"""Bands are matched by name or not at all, and every refusal says what to type."""

from __future__ import annotations

import itertools

import pytest

from zoo.bands import PRESETS, VOCABULARY, meanings
from zoo.errors import InputError, ZooWarning
from zoo.inputs.match import match
from zoo.spec import Band, InputSpec, Kind, Normalise

S2_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
B10_FILE = (*S2_BANDS[:10], "B10", *S2_BANDS[10:])


def an_input(label: str, ids, *, level=None, any_subset=False, unit="DN", name="image") -> InputSpec:
    count = len(ids)
    return InputSpec(
        name=name,
        kind=Kind.RASTER,
        label=label,
        level=level,
        any_subset=any_subset,
        bands=tuple(Band(id=one, unit=unit) for one in ids),
        steps=(Normalise(mean=tuple(range(count)), std=(1.0,) * count, source="ours: test"),),
    )


def s2(*names: str) -> tuple[str, ...]:
    return tuple(f"S2:{name}" for name in names)


L2A = an_input("S2-L2A", s2(*S2_BANDS), level="L2A")
L2A_ANY = an_input("S2-L2A", s2(*S2_BANDS), level="L2A", any_subset=True)
L1C_ANY = an_input("S2-L1C", s2(*S2_BANDS), level="L1C", any_subset=True)
S1 = an_input("S1", ("S1:VV", "S1:VH"), any_subset=True)
BOTH = an_input("S1+S2", (*s2(*S2_BANDS), "S1:VV", "S1:VH"), any_subset=True)
RGB = an_input("RGB", ("RGB:R", "RGB:G", "RGB:B"), any_subset=True)
L8 = an_input("L8", tuple(f"L8:B{number}" for number in range(1, 8)), any_subset=True)
ANY_SENSOR = (L2A_ANY, L1C_ANY, S1, RGB, BOTH)


def refused(*arguments, **options) -> str:
    with pytest.raises(InputError) as error:
        match(*arguments, where="scene.tif", **options)
    message = str(error.value)
    assert message.startswith("scene.tif: ")
    assert "--bands" in message or "--sensor" in message  # what to type
    return message


# --------------------------------------------------------------------------------------------------------- right bands


@pytest.mark.parametrize(
    "order", [S2_BANDS, S2_BANDS[::-1], ("B08", "B04", *(n for n in S2_BANDS if n not in ("B08", "B04")))]
)
def test_channels_follow_the_names_whatever_their_order(order):
    matched = match([L2A], order)
    assert matched.spec is L2A
    assert [order[channel] for channel in matched.channels] == list(S2_BANDS)


@pytest.mark.parametrize(
    "spelled",
    ["S2:{}", "{}", "sentinel2_{}", "S2A_{}", "Sentinel-2 {}", "{}_20m", "T32TMS_20200622T102031_{}_10m", "{} (nm)"],
)
def test_spellings_of_one_band(spelled):
    assert match([L2A], [spelled.format(name) for name in S2_BANDS]).channels == tuple(range(12))


def test_gdal_and_earth_engine_names():
    gdal = [
        "B4, central wavelength 665 nm",
        "B3, central wavelength 560 nm",
        "B2, central wavelength 490 nm",
        "B8, central wavelength 842 nm",
    ]
    matched = match([L2A_ANY], gdal)
    assert matched.spec.band_ids == s2("B02", "B03", "B04", "B08")
    assert matched.channels == (2, 1, 0, 3)
    earth_engine = ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12"]
    assert match([L2A], earth_engine).channels == tuple(range(12))


def test_common_names_and_polarisations():
    assert match([L2A_ANY], ["swir16", "nir", "red", "rededge2"]).spec.band_ids == s2("B04", "B06", "B08", "B11")
    assert match([S1], ["Sigma0_VH_db", "VV (dB)"]).channels == (1, 0)


def test_any_subset_narrows_bands_and_statistics_alike():
    matched = match([L2A_ANY], ["B12", "B03"])
    assert matched.spec.band_ids == s2("B03", "B12")
    assert matched.spec.steps[0].mean == (2, 11)
    assert matched.channels == (1, 0)


def test_channels_beyond_those_of_a_complete_input_are_left_out():
    matched = match([L2A], [*S2_BANDS[:10], "SCL", *S2_BANDS[10:], None])
    assert matched.channels == (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12)


def test_variables_of_a_table_are_matched_by_their_own_names():
    table = an_input("", ("bio_1", "bio_11", "Cover_total"))
    assert match([table], ["Cover_total", "bio_11", "bio_1"]).channels == (2, 1, 0)
    assert "missing bio_1" in refused([table], ["Cover_total", "bio_11"])


# -------------------------------------------------------------------------------------------------------- wrong bands


def test_a_missing_band_is_named_with_a_line_to_complete():
    message = refused([L2A], [name for name in S2_BANDS if name != "B8A"])
    assert "missing S2:B8A" in message
    assert "Found 11 channels: B01, B02" in message
    assert "--bands B01,B02,B03,B04,B05,B06,B07,B08,B09,B11,B12" in message


def test_thirteen_channels_for_twelve_without_names():
    message = refused([L2A], [None] * 13)
    assert "its channels have no names" in message
    assert "Found 13 channels" in message
    assert "expected S2-L2A: S2:B01, S2:B02" in message
    assert "--bands S2-L1C = B01,B02,B03,B04,B05,B06,B07,B08,B8A,B09,B10,B11,B12" in message
    assert "--bands EuroSAT = B01,B02,B03,B04,B05,B06,B07,B08,B09,B10,B11,B12,B8A" in message


@pytest.mark.parametrize("inputs", [[L2A], [L2A_ANY], list(ANY_SENSOR)])
@pytest.mark.parametrize("again", ["B04", "S2:B04", "red", "Band 4"])
def test_a_doubled_band_is_refused(inputs, again):
    message = refused(inputs, [*S2_BANDS, again])
    assert f"channels 4 ('B04') and 13 ({again!r}) are both S2:B04" in message


def test_rededge_alone_is_three_bands():
    message = refused([L2A_ANY], ["red", "rededge", "nir"])
    assert "channel 2 'rededge' may be S2:B05 or S2:B06 or S2:B07" in message
    assert "--bands B04,?,B08: a name for each ?" in message


def test_an_unknown_name_is_refused_where_a_subset_would_do():
    message = refused([L2A_ANY], ["B04", "NDVI"])
    assert "not a band of S2-L2A: channel 2 'NDVI'" in message
    assert "--bands B04,?" in message


def test_an_unnamed_channel_is_refused_where_a_subset_would_do():
    assert "not a band of S2-L2A: channel 2 without a name" in refused([L2A_ANY], ["B04", None, "B08"])


def test_names_that_only_count_are_no_names():
    """`Band 9` of a twelve-band stack is B8A in most files, but would pass for B09."""
    for pattern in ("Band {}", "B{}", "band_{}", "channel {}"):
        message = refused([L2A_ANY], [pattern.format(number) for number in range(1, 13)])
        assert "names only count them" in message
        assert "--bands ?,?,?" in message
        assert "--bands S2 = B01," in message
    told = match([L2A_ANY], ["Band 1", "Band 2"], bands="B01,B02")
    assert told.spec.band_ids == s2("B01", "B02")
    assert match([L2A_ANY], ["B01", "B02"]).channels == (0, 1)  # Sentinel-2's own way of writing


def test_another_sensors_name_is_not_taken():
    assert "'L8:B4'" in refused([L2A_ANY], ["B03", "L8:B4"])
    assert "'LC08_B4'" in refused([L2A_ANY], ["B03", "LC08_B4"])


@pytest.mark.parametrize(("first", "second"), itertools.combinations(("B02", "B8A", "B11"), 2))
def test_names_and_channels_always_move_together(first, second):
    """Swap two names: the channels swap, so that a band never gets another band's pixels."""
    names = list(S2_BANDS)
    one, two = names.index(first), names.index(second)
    names[one], names[two] = names[two], names[one]
    channels = match([L2A], names).channels
    assert (channels[one], channels[two]) == (two, one)


# -------------------------------------------------------------------------------------------------------- what one says


def test_presets_and_names_are_taken_in_the_files_order():
    assert match([L2A], [None] * 12, bands="s2").channels == tuple(range(12))
    assert match([L2A], [None] * 12, bands=("S2",)).channels == tuple(range(12))
    eurosat = match([L1C_ANY], [None] * 13, bands="EuroSAT")
    assert eurosat.channels == (0, 1, 2, 3, 4, 5, 6, 7, 12, 8, 10, 11)
    assert match([L2A_ANY], [None] * 4, bands="B08, red,-,B02").channels == (3, 1, 0)
    assert match([L2A_ANY], ["B02", "B03"], bands=["B03", ""]).spec.band_ids == s2("B03")  # over the file's names


def test_the_count_must_be_the_files():
    message = refused([L2A], [None] * 13, bands="S2")
    assert "--bands names 12 channels" in message
    assert "the file has 13" in message
    assert "--bands S2-L1C = B01" in message


def test_what_one_says_is_checked_too():
    assert "channels 1 ('B04') and 2 ('red') are both S2:B04" in refused([L2A_ANY], [None] * 2, bands="B04,red")
    assert "channel 2 'B13'" in refused([L2A_ANY], [None] * 2, bands="B04,B13")
    assert "none of the names is a band of S2-L2A" in refused([L2A_ANY], [None] * 2, bands="-,-")


# -------------------------------------------------------------------------------------------------------- alternatives


def test_names_choose_among_sensors():
    assert match(ANY_SENSOR, ["VV", "VH"]).spec.label == "S1"
    assert match(ANY_SENSOR, ["VH"]).spec.label == "S1"
    assert match(ANY_SENSOR, [*S2_BANDS, "VV", "VH"]).spec.label == "S1+S2"
    assert match(ANY_SENSOR, ["red", "green", "blue"]).spec.label == "RGB"
    assert match(ANY_SENSOR, ["blue", "green", "red"]).channels == (2, 1, 0)


def test_alternatives_that_both_fit_are_for_the_user_to_decide():
    message = refused(ANY_SENSOR, S2_BANDS)
    assert "fit 2 inputs: S2-L2A, S2-L1C; say which: --sensor S2-L2A or --sensor S2-L1C" in message
    assert match(ANY_SENSOR, S2_BANDS, sensor="s2-l1c").spec.label == "S2-L1C"
    assert "fit 3 inputs: S2-L2A, S2-L1C, RGB" in refused(ANY_SENSOR, ["red", "green", "blue", "nir"])


def test_landsat_and_sentinel_2_share_names():
    message = refused([L2A_ANY, L8], ["B4", "B3", "B2"])
    assert "--sensor S2-L2A or --sensor L8" in message
    assert match([L2A_ANY, L8], ["B4", "B3", "B2"], sensor="L8").spec.band_ids == ("L8:B2", "L8:B3", "L8:B4")


def test_an_alternative_that_leaves_out_a_doubtful_channel_is_not_taken():
    """A drone's five bands are no photograph with two channels too many."""
    message = refused(ANY_SENSOR, ["blue", "green", "red", "nir", "rededge"])
    assert "channel 5 'rededge' may be S2:B05 or S2:B06 or S2:B07" in message
    assert "are both S2:B04" in refused(ANY_SENSOR, ["red", "green", "blue", "B04"])


def test_the_level_rules_alternatives_out():
    assert match(ANY_SENSOR, S2_BANDS, level="L2A").spec.label == "S2-L2A"
    assert match(ANY_SENSOR, B10_FILE).spec.label == "S2-L1C"  # L2A products have no B10
    assert match(ANY_SENSOR, [None] * 13, bands="S2-L1C").spec.label == "S2-L1C"
    message = refused([L2A], S2_BANDS, level="L1C")
    assert "found Sentinel-2 L1C, expected L2A" in message
    assert "--sensor S2-L2A" in message
    with pytest.warns(ZooWarning, match="found Sentinel-2 L1C, expected L2A"):
        assert match([L2A], S2_BANDS, level="L1C", sensor="S2-L2A").spec is L2A


def test_an_unknown_sensor_lists_those_there_are():
    message = refused(ANY_SENSOR, S2_BANDS, sensor="S2-L2")
    assert "no input 'S2-L2' here" in message
    assert "--sensor S2-L2A or S2-L1C or S1 or RGB or S1+S2" in message
    assert "did you mean --sensor S2-L2A?" in message


def test_one_file_may_feed_several_inputs():
    names = [*S2_BANDS, "VV", "VH"]
    assert match([S1], names, shared_with=[L2A]).channels == (12, 13)
    assert match([S1], ["B02", "VV"], shared_with=[L2A]).spec.band_ids == ("S1:VV",)
    assert "channel 1 'NDVI'" in refused([S1], ["NDVI", "VV"], shared_with=[L2A])


# ---------------------------------------------------------------------------------------------------------- vocabulary


@pytest.mark.parametrize("band_id", sorted(VOCABULARY))
def test_every_band_is_found_by_its_id_and_its_own_name(band_id):
    facts = VOCABULARY[band_id]
    assert meanings(band_id) == {band_id}
    assert band_id in meanings(facts.own_name)
    same_sensor = {one for one in meanings(facts.own_name) if one.split(":")[0] == band_id.split(":")[0]}
    assert same_sensor == {band_id}


@pytest.mark.parametrize("name", ["", "4", "SCL", "NDVI", "SR_B4", "Amplitude_VV", "VVVH", "B04 dB", "blue_1"])
def test_names_without_a_known_meaning(name):
    assert meanings(name) == frozenset()


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_name_bands_of_the_vocabulary_once(preset):
    assert len(set(PRESETS[preset])) == len(PRESETS[preset])
    assert set(PRESETS[preset]) <= set(VOCABULARY)
