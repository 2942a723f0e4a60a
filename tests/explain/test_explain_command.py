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
    scores = ["shares.test=1", "--labels", "--method", "permutation", "--rounds", "8"]
    for number, told in enumerate((places, scores)):
        one, two = tmp_path / f"one{number}.parquet", tmp_path / f"two{number}.parquet"
        code, said, err = zoo_command("explain", installed_additive, sites, one, *told)
        assert (code, said) == (0, f"wrote {one}\n"), err
        two_processes("explain", installed_additive, sites, two, *told, "--plot", tmp_path / "why.png", "--force")
        assert digest(one) == digest(two)
    assert pq.read_table(one).column_names[3] == "standard_error"
    code, _, err = zoo_command("explain", installed_additive, sites, one, *places)
    assert (code, "exists; add --force" in err) == (1, True)
