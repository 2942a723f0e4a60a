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
    said = described(table, classes=tuple(f"species {index}" for index in range(12_738)))
    assert "classes       12738: species 0, " in said
    assert "species 199, and 12538 more" in said
    assert len(said) < 5000
