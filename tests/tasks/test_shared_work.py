"""Losses and scores of two processes that share the samples are those of one that has them all."""

from __future__ import annotations

from pathlib import Path

import pytest
import shared_work
import torch


@pytest.fixture
def both(make_plugin, two_processes, monkeypatch, tmp_path):
    """`both("scores")`: what each of two processes finds."""
    site = make_plugin(
        "working",
        """
    @hookimpl
    def zoo_register_commands(cli):
        import click

        @cli.command("share-work")
        @click.argument("part")
        @click.argument("folder")
        def share(part, folder):
            import shared_work, torch
            from zoo.processes import processes

            torch.save(getattr(shared_work, part)(), f"{folder}/{processes().process_index}.pt")
    """,
    )
    monkeypatch.setenv("PYTHONPATH", f"{site}:{Path(__file__).parent}")

    def run(part):
        two_processes("share-work", part, tmp_path)
        return [torch.load(tmp_path / f"{index}.pt") for index in range(2)]

    return run


def test_the_contrastive_gradient_is_that_of_one_process(both):
    alone = shared_work.contrastive_gradient()
    for one in both("contrastive_gradient"):
        for name, gradient in alone.items():
            assert gradient.abs().max() > 1e-3
            torch.testing.assert_close(one[name], gradient, rtol=1e-4, atol=1e-6)


def test_rows_are_gathered_from_processes_with_other_numbers_of_them(both):
    for index, one in enumerate(both("gathered_rows")):
        assert one["rows"].tolist() == [[1.0, 1.0]] * 3  # the second has none
        assert one["sum"].tolist() == [2, 20]
        assert one["grad"].tolist() == ([] if index else [[4.0, 4.0]] * 3)  # of both processes' squares
    alone = shared_work.gathered_rows()
    assert alone["sum"].tolist() == [1, 10]
    assert alone["grad"].tolist() == [[2.0, 2.0]] * 3


def test_presences_are_counted_once(both):
    for one in (*both("presences"), shared_work.presences()):
        assert [part.tolist() for part in one] == [[4, 10], [11, 10]]


def test_scores_are_those_of_one_process(both):
    alone = shared_work.scores()
    for one in both("scores"):
        for task in ("sdm", "detect", "retrieve"):
            assert len(alone[task]) > 20
            assert one[task] == pytest.approx(alone[task], rel=1e-12), task
