"""Batches: cut from the global list, kept as parts, taken up again."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.errors import ConfigError, InputError, OutputError
from zoo.options import Options
from zoo.predict import stream
from zoo.predict.work import Work, session

UNITS = list(range(10))


def run(work, *, compute=None, resume=False, batch_size=4):
    done = []

    def default(loaded):
        done.append(loaded)
        return {"square": np.array(loaded) ** 2}, {"n": str(len(loaded))}

    work.begin(resume=resume)
    stream.run(UNITS, batch_size=batch_size, load=list, compute=compute or default, work=work, what="test")
    return done


def test_every_unit_is_computed_once_and_in_order(tmp_path):
    work = Work(tmp_path / "parts", {"a": 1})
    assert run(work) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    arrays, notes = work.load(2)
    assert arrays["square"].tolist() == [64, 81]
    assert notes == {"n": "2"}


def test_resume_computes_only_what_is_missing(tmp_path):
    work = Work(tmp_path / "parts", {"a": 1})

    def stops(loaded):
        if loaded[0] == 4:
            raise KeyboardInterrupt
        return {"square": np.array(loaded) ** 2}, {}

    with pytest.raises(KeyboardInterrupt):
        run(work, compute=stops)
    assert work.has(0)
    assert not work.has(1)
    assert run(work, resume=True) == [[4, 5, 6, 7], [8, 9]]


def test_parts_of_this_very_work_are_not_thrown_away(tmp_path):
    run(Work(tmp_path / "parts", {"a": 1}))
    with pytest.raises(ConfigError, match=r"parts of this very work.*--resume, or remove that folder"):
        run(Work(tmp_path / "parts", {"a": 1}))
    assert run(Work(tmp_path / "parts", {"a": 2})) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_parts_that_are_of_no_use_do_not_stand_in_the_way(tmp_path):
    work = Work(tmp_path / "parts", {"a": 1})
    run(work)
    work.abandon()
    assert len(run(Work(tmp_path / "parts", {"a": 1}))) == 3
    assert not (tmp_path / "parts" / "abandoned").exists()


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="holds something else"):
        run(Work(tmp_path / "parts", {}))
    assert (tmp_path / "parts" / "thesis.txt").read_text() == "years of work"


def test_parts_of_other_work_are_not_reused(tmp_path):
    run(Work(tmp_path / "parts", {"weights": "one"}))
    with pytest.raises(ConfigError, match=r"parts of other work.*without --resume"):
        run(Work(tmp_path / "parts", {"weights": "two"}), resume=True)


def test_an_error_while_reading_reaches_the_caller(tmp_path):
    def load(batch):
        if 4 in batch:
            raise OSError("disk on fire")
        return list(batch)

    with pytest.raises(OSError, match="disk on fire"):
        stream.run(
            UNITS,
            batch_size=4,
            load=load,
            compute=lambda loaded: ({"x": np.array(loaded)}, {}),
            work=begun(tmp_path / "parts"),
            what="test",
        )


def begun(folder):
    work = Work(folder, {})
    work.begin(resume=False)
    return work


def test_a_session_keeps_parts_for_resume_and_nothing_else(tmp_path):
    out = tmp_path / "out.tif"

    def attempt(error, *, finished, resume=False):
        with session(out, {}, resume=resume) as work:
            if finished:
                work.save(0, {"x": np.zeros(1)})
            raise error

    for error, finished, stays in (
        (RuntimeError("boom"), False, False),
        (RuntimeError("boom"), True, True),
        (InputError("no data"), True, False),
    ):
        with pytest.raises(type(error)):
            attempt(error, finished=finished, resume=True)
        assert (tmp_path / "out.tif.parts").exists() is stays
    with session(out, {}) as work:
        work.save(0, {"x": np.zeros(1)})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_says_so(tmp_path):
    import resource

    work = begun(tmp_path / "parts")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot write .*free some space.*--resume"):
            work.save(0, {"x": np.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert work.is_empty()


def test_a_folder_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match="choose an output in a folder that you may write to"):
        run(Work(tmp_path / "file" / "out.tif.parts", {}))


def test_options_name_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'batch_size'"):
        Options.of({"batchsize": 4})
    with pytest.raises(ConfigError, match="expected one of none, mean, cosine"):
        Options.of({"blend": "gauss"})
    with pytest.raises(ConfigError, match="batch_size is 0; expected at least 1"):
        Options.of({"batch_size": 0})


def test_recorded_options_hold_what_decides_the_numbers():
    recorded = Options(resume=True, workers=7, bands="S2", float16=True).recorded()
    assert recorded == {"bands": "S2", "blend": "none", "batch_size": "8", "precision": "fp32", "float16": "True"}


@pytest.mark.parametrize("bands", ["B02, B03", ("B02", "B03"), ["B02", "B03"]])
def test_bands_are_recorded_alike_however_they_were_given(bands):
    assert Options(bands=bands).bands == ("B02", "B03")
    assert Options(bands=bands).recorded()["bands"] == "B02,B03"


def test_options_hold_for_all_inputs_or_for_each_its_own():
    options = Options(bands={"s1": "S1", "s2": ["B02", "B03"]}, nodata=0, scale={"s1": 2})
    radar, optical = options.of_input("s1"), options.of_input("s2")
    assert (radar.bands, radar.nodata, radar.scale) == ("S1", 0.0, 2.0)
    assert (optical.bands, optical.nodata, optical.scale) == (("B02", "B03"), 0.0, None)
    assert options.recorded()["bands"] == "s1=S1; s2=B02,B03"
    with pytest.raises(ConfigError, match="bands is given for s2; the inputs are s1, optical"):
        options.check_inputs(["s1", "optical"])


def test_one_name_is_a_list_of_one():
    assert Options.of({"species": "Abies alba"}).species == ("Abies alba",)
    assert Options.of({"templates": "a photo, taken of {}"}).templates == ("a photo, taken of {}",)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"window": "224"}, "window is '224', a str; expected a whole number"),
        ({"batch_size": 2.5}, r"batch_size is 2.5, a float; expected a whole number"),
        ({"workers": True}, "workers is True, a bool; expected a whole number"),
        ({"scale": "0.1"}, "scale is '0.1', a str; expected a number"),
        ({"sensor": 2}, "sensor is 2, a int; expected a text"),
        ({"bands": 3}, "bands is 3, a int; expected a list of texts"),
        ({"classes": 3}, "classes is 3, a int; expected a list of texts"),
        ({"float16": "yes"}, "float16 is 'yes', a str; expected True or False"),
        ({"window": {"s1": 224}}, "window is .* expected a whole number"),
    ],
)
def test_an_option_of_the_wrong_type_is_named(given, message):
    with pytest.raises(ConfigError, match=message):
        Options.of(given)
