"""`zoo info` in words, for every kind of input."""

from __future__ import annotations

from zoo.describe import describe
from zoo.spec import Band, InputSpec, Kind, Licences, ModelSpec, Paper, Quantity, Task, Variant


def described(*inputs, **facts):
    variant = Variant(tag="one", builder="a:b", inputs=inputs, **facts)
    spec = ModelSpec(
        name="toy",
        task=Task.SDM,
        summary="a toy",
        paper=Paper(title="A toy", bibtex="@misc{toy}"),
        repository=None,
        licences=Licences(code="MIT", weights=None, data=None),
        variants=(variant,),
    )
    return describe(spec, variant, plugin="zoo-toy 0.1")


def test_tables_series_and_texts_are_called_what_they_are():
    table = InputSpec(name="x", kind=Kind.TABLE, any_subset=True, bands=(Band(id="bio_1", unit="degC"),))
    said = described(table, InputSpec(name="place", kind=Kind.TABLE, optional=True, bands=(Band(id="a", unit="1"),)))
    assert "x: 1 variables in degC; a row per site\n      any subset of the variables will do" in said
    assert "may be left out" in said
    series = InputSpec(name="weather", kind=Kind.SERIES, times=40, window=48, bands=(Band(id="SZA", unit="degree"),))
    said = described(series, quantities=(Quantity(name="ssr", unit="W m-2"),), lead_times_h=(0.0, 192.0))
    assert "weather: 1 variables in degree; windows of 48 px, 40 times" in said
    assert "answers       ssr in W m-2, 0 h, 192 h after the last input" in said
    said = described(InputSpec(name="text", kind=Kind.TEXT, tokenizer="a:b"), templates=("a photo of {}.",))
    assert "  text: words\n" in said
    assert "templates     a photo of {}." in said


def test_thousands_of_species_are_not_all_printed():
    table = InputSpec(name="x", kind=Kind.TABLE, bands=(Band(id="bio_1", unit="degC"),))
    said = described(table, classes=tuple(f"species {index % 2}{index}" for index in range(12_738)))
    assert "classes       12738: species 00, species 11, " in said
    assert "species 1199, and 12538 more" in said
    assert len(said) < 5000


def test_numbers_in_a_row_are_told_by_the_first_and_the_last():
    names = ("a", *(f"satclip_{index}" for index in range(256)), *(f"m{month}" for month in range(1, 12)), "b9", "b10")
    table = InputSpec(name="x", kind=Kind.TABLE, bands=tuple(Band(id=name, unit="1") for name in names))
    months = ", ".join(f"m{month}" for month in range(1, 12))
    assert f"variables   a, satclip_0 ... satclip_255, {months}, b9, b10\n" in described(table)
    said = described(table, classes=tuple(f"species {number}" for number in range(1, 2175)))
    assert "classes       2174: species 1 ... species 2174\n" in said


def test_each_unit_names_its_variables_where_there_are_several():
    bands = (Band(id="bio_1", unit="degC"), Band(id="bio_12", unit="mm"), Band(id="bio_5", unit="degC"))
    said = described(InputSpec(name="x", kind=Kind.TABLE, bands=(*bands, Band(id="roads", unit="1"))))
    assert "degC      bio_1, bio_5\n        mm        bio_12\n        no unit   roads\n" in said
    assert "  mm  " not in described(InputSpec(name="x", kind=Kind.TABLE, bands=bands[1:2]))
