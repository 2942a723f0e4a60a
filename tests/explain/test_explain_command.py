"""The command line: `zoo explain`, in this process and shared among processes."""

from __future__ import annotations

import hashlib

import pyarrow.parquet as pq
from toy_additive import labelled


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_command_explains_places_and_scores_alike_on_two_processes(
    installed_additive, tmp_path, zoo_command, two_processes
):
    sites = tmp_path / "sites.csv"
    labelled(400).to_csv(sites, index=False)
    places = [
        "--species",
        "Poa alpina",
        "--group",
        "climate=warm,wet",
        "--group",
        "soil=clay,sand",
        "--batch-size",
        "1",
    ]
    scores = ["--labels", "shares.test=1", "--method", "permutation", "--rounds", "8"]  # no dataset is named so
    for number, told in enumerate((places, scores)):
        one, two = tmp_path / f"one{number}.parquet", tmp_path / f"two{number}.parquet"
        code, said, err = zoo_command("explain", installed_additive, sites, one, *told)
        assert (code, said) == (0, f"wrote {one}\n"), err
        two_processes("explain", installed_additive, sites, two, *told, "--plot", tmp_path / "why.png", "--force")
        assert digest(one) == digest(two)
    assert pq.read_table(one).column_names[3] == "standard_error"
    code, _, err = zoo_command("explain", installed_additive, sites, one, *places)
    assert (code, "exists; add --force" in err) == (1, True)


def test_what_cannot_be_is_said_before_the_model_is_loaded(installed_additive, tmp_path, zoo_command):
    for told in ([], ["--labels"]):
        code, _, err = zoo_command("explain", installed_additive, "-", tmp_path / "out.csv", *told)
        assert (code, "- stands for a dataset that needs no folder; name one with --labels" in err) == (1, True)
    code, _, err = zoo_command("explain", installed_additive, tmp_path, tmp_path / "out.csv", "--group", "warm")
    assert (code, "--group warm names no group; expected --group NAME=A,B" in err) == (1, True)
    twice = ["--group", "a=warm", "--group", "a=wet"]
    code, _, err = zoo_command("explain", installed_additive, tmp_path, tmp_path / "out.csv", *twice)
    assert (code, "--group a is given twice" in err) == (1, True)
