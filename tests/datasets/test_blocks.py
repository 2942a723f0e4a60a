"""Spatial folds by hand, and what holds of all of them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import ShuffleSplit

from zoo.datasets.blocks import block_cells, block_folds, block_shares, block_split, held_out
from zoo.errors import ConfigError, InputError

SQUARE = np.array(
    [[lon, lat] for lat in (46.1, 46.4, 47.2, 47.7) for lon in (7.2, 7.8, 8.3)]
)  # 2 x 2 blocks of 1 degree


@pytest.fixture(scope="module")
def places():
    draw = np.random.default_rng(0)
    clusters = draw.uniform((-170, -80), (170, 80), (40, 2))
    return np.concatenate([centre + draw.normal(0, 0.7, (20, 2)) for centre in clusters])


def km_between(one, others):
    """On the sphere, by the haversine formula."""
    lon, lat, lons, lats = (np.radians(part) for part in (*one, others[:, 0], others[:, 1]))
    half = np.sin((lats - lat) / 2) ** 2 + np.cos(lat) * np.cos(lats) * np.sin((lons - lon) / 2) ** 2
    return 2 * 6371.0 * np.arcsin(np.sqrt(half))


# ---------------------------------------------------------------------------------------------------------- k folds


def test_blocks_of_a_degree_stay_whole():
    folds = block_folds(SQUARE, folds=4, block_deg=1.0)
    blocks = sorted(sorted(map(tuple, np.floor(SQUARE[rows]).astype(int).tolist())) for rows in folds)
    assert blocks == [[(7, 46)] * 4, [(7, 47)] * 4, [(8, 46)] * 2, [(8, 47)] * 2]


@pytest.mark.parametrize("side", [{"block_km": 200.0}, {"block_deg": 2.0}])
def test_every_place_is_in_exactly_one_fold(places, side):
    folds = block_folds(places, folds=5, **side)
    assert sorted(np.concatenate(folds)) == list(range(len(places)))
    assert all((np.diff(rows) > 0).all() for rows in folds)
    sizes = [len(rows) for rows in folds]
    assert max(sizes) - min(sizes) <= 20  # a block has at most about a cluster


def test_the_order_of_places_does_not_matter_and_the_seed_does(places):
    order = np.random.default_rng(1).permutation(len(places))
    first = block_folds(places, block_km=200.0)
    other = block_folds(places[order], block_km=200.0)
    for one, two in zip(first, other, strict=True):
        assert one.tolist() == sorted(order[two])
    assert any(
        len(one) != len(two) or (one != two).any()
        for one, two in zip(first, block_folds(places, block_km=200.0, seed=1), strict=True)
    )


def test_blocks_in_kilometres_have_that_size_at_all_latitudes():
    """Along a parallel, each block of 100 km is about that wide, from the equator to far north."""
    for lat in (0.2, 45.2, 70.2):
        lons = np.arange(0, 40, 0.01)
        line = np.stack([lons, np.full(len(lons), lat)], axis=1)
        folds = block_folds(line, folds=2, block_km=100.0)
        fold_of = np.zeros(len(lons), int)
        fold_of[folds[1]] = 1
        runs = np.diff(np.flatnonzero(np.diff(fold_of)))
        width = 0.01 * runs.min() * 111.195 * np.cos(np.radians(lat))
        assert 97 < width < 103, lat


def test_the_date_line_is_no_edge():
    """180 degrees east and west are one place."""
    both = np.array([[180.0, 10.3], [-180.0, 10.3], [0.5, 10.3], [90.5, 10.3]])
    for side in ({"block_km": 50.0}, {"block_deg": 0.5}):
        fold_of = np.zeros(4, int)
        for index, rows in enumerate(block_folds(both, folds=3, **side)):
            fold_of[rows] = index
        assert fold_of[0] == fold_of[1]


def test_an_empty_fold_is_said():
    with pytest.raises(ConfigError, match=r"12 places lie in 4 blocks of 1\.0 degrees, so 1 of 5 folds would be empty"):
        block_folds(SQUARE, folds=5, block_deg=1.0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "the side of a block in kilometres or in degrees"),
        ({"block_km": 1.0, "block_deg": 1.0}, "the side of a block in kilometres or in degrees"),
        ({"block_km": -1.0}, r"the side of a block is -1\.0; expected a number above 0"),
        ({"folds": 1, "block_km": 1.0}, "folds is 1; expected 2 or more"),
    ],
)
def test_options_that_make_no_folds_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        block_folds(SQUARE, **options)


def test_places_off_the_globe_are_refused():
    with pytest.raises(InputError, match="1 of 2 places are not on the globe, the first in row 1: longitude nan"):
        block_folds(np.array([[7.0, 46.0], [np.nan, 46.0]]), block_km=1.0)
    with pytest.raises(InputError, match=r"found places of shape \(3,\)"):
        block_folds(np.zeros(3), block_km=1.0)


# ------------------------------------------------------------------------------------- training, validation and test


def test_held_out_blocks_are_those_of_the_most_even_split():
    """A box of 4 x 1 degrees, so 4 blocks; from west to east with 5, 1, 1 and 3 places."""
    lons = np.concatenate([np.linspace(0, 0.9, 5), [1.5], [2.5], np.linspace(3.2, 4, 3)])
    places = np.stack([lons, np.linspace(0, 1, 10)], axis=1)
    sizes = np.array([5, 1, 1, 3])
    splits = list(ShuffleSplit(n_splits=10, test_size=0.5, random_state=42).split(sizes))
    # Two blocks on either side: even is 5 places to 5, that is the first alone with none, so 6 to 4 is nearest.
    uneven = [abs(sizes[one].sum() / sizes[two].sum() - 1) for one, two in splits]
    stays, held = splits[int(np.argmin(uneven))]
    train, test = held_out(places, spacing_deg=1.0, share=0.5)
    block_of = np.repeat(range(4), sizes)
    assert set(block_of[train]) == set(stays)
    assert set(block_of[test]) == set(held)
    assert sorted([len(train), len(test)]) == [4, 6]


def test_blocks_adjust_to_the_box():
    """An extent of 1.4 holds one block of 1 degree, one of 1.6 holds two, which part in its middle."""
    for extent, num in ((1.4, 1), (1.6, 2)):
        places = np.stack([np.linspace(0, extent, 20), np.zeros(20)], axis=1)
        if num == 1:
            with pytest.raises(ConfigError, match="20 places lie in one block"):
                held_out(places, spacing_deg=1.0, share=0.5)
        else:
            train, test = held_out(places, spacing_deg=1.0, share=0.5)
            assert sorted(map(tuple, (train.tolist(), test.tolist()))) == [tuple(range(10)), tuple(range(10, 20))]


def test_the_three_parts_hold_every_place_once_and_share_no_block(places):
    split = block_split(places, spacing_deg=5.0)
    assert sorted(np.concatenate([split.train, split.val, split.test])) == list(range(len(places)))
    assert all((np.diff(rows) > 0).all() for rows in (split.train, split.val, split.test))
    share = len(split.test) / len(places), len(split.val) / len(places)
    assert share == pytest.approx((0.15, 0.15), abs=0.05)
    assert (block_split(places, spacing_deg=5.0).test == split.test).all()
    # Of a cluster, a block of 5 degrees takes most: places near each other are on one side.
    fold_of = np.zeros(len(places), int)
    fold_of[split.test] = 1
    alike = [
        np.mean(fold_of[np.argsort(km_between(one, places))[1:6]] == fold_of[row]) for row, one in enumerate(places)
    ]
    assert np.mean(alike) > 0.9


def test_shares_that_leave_nothing_are_refused():
    with pytest.raises(ConfigError, match=r"found shares of 0\.5 and 0\.5"):
        block_split(SQUARE, spacing_deg=1.0, val=0.5, test=0.5)


# ----------------------------------------------------------------------------------------------------------- shares


def test_shares_are_about_kept_by_whole_blocks(places):
    parts = block_shares(places, (0.8, 0.1, 0.1), block_km=200.0, seed=3)
    assert sorted(np.concatenate(parts)) == list(range(len(places)))
    np.testing.assert_allclose([len(one) / len(places) for one in parts], (0.8, 0.1, 0.1), atol=0.03)
    blocks = [set(map(tuple, block_cells(places[one], block_km=200.0).tolist())) for one in parts]
    assert not set.intersection(*blocks[:2]) | set.intersection(*blocks[1:]) | set.intersection(*blocks[::2])


def test_a_large_block_trains_whenever_it_is_dealt():
    """Tables of 30 blocks whose sizes differ a hundredfold: the least that blocks as large as these leave for training."""
    draw = np.random.default_rng(0)
    corners = np.stack([np.arange(30) * 2.0, np.full(30, 0.5)], axis=1)  # each in a block of its own
    for seed in range(1000):
        sizes = np.ceil(draw.lognormal(2, 1, 30)).astype(int)
        parts = block_shares(np.repeat(corners, sizes, axis=0), (0.8, 0.1, 0.1), block_km=50.0, seed=seed)
        train, val, test = (len(one) / sizes.sum() for one in parts)
        assert train >= 0.7, seed
        assert min(val, test) > 0, seed


def test_no_part_stays_empty_where_there_are_blocks_enough():
    """A block of 100 places and two of 1 each."""
    corners = np.array([[0.0, 0.5], [5.0, 0.5], [10.0, 0.5]])
    for seed in range(6):
        parts = block_shares(np.repeat(corners, [100, 1, 1], axis=0), (0.8, 0.1, 0.1), block_km=50.0, seed=seed)
        assert sorted(map(len, parts)) == [1, 1, 100], seed


def test_equal_shares_are_folds(places):
    folds = block_folds(places, folds=4, block_km=200.0, seed=5)
    shares = block_shares(places, (0.25,) * 4, block_km=200.0, seed=5)
    for one, two in zip(folds, shares, strict=True):
        np.testing.assert_array_equal(one, two)


def test_fewer_blocks_than_shares_are_told(places):
    with pytest.raises(ConfigError, match=r"20 places lie in \d blocks? of 20000.0 km, so"):
        block_shares(places[:20], (0.8, 0.1, 0.1), block_km=20000.0)
