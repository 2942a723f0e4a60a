import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.errors import ConfigError
from zoo.tiling import Window, blend_weights, lattice, output_size

sides = st.integers(1, 150)
unhurried = settings(deadline=None, database=None)


@st.composite
def cuts(draw):
    """Window, stride and halo that fit together."""
    stride = draw(st.integers(1, 8))
    span = draw(st.integers(1, 12))
    margin = draw(st.integers(0, (span - 1) // 2))
    return span * stride, stride, margin * stride


def blended(tiles, shape, answer, weights):
    """The weighted mean of what `answer(tile)` says, as predictions are put together."""
    total, weight = np.zeros(shape), np.zeros(shape)
    for tile in tiles:
        inside = tile.out.clipped(*shape)
        rows, cols = inside.within(tile.out).slices
        total[inside.slices] += (weights * answer(tile))[rows, cols]
        weight[inside.slices] += weights[rows, cols]
    return (total / weight).astype(np.float32)


@unhurried
@given(sides, sides, cuts())
def test_own_windows_cover_the_output_exactly_once(height, width, cut):
    window, stride, halo = cut
    times = np.zeros((output_size(height, stride), output_size(width, stride)), int)
    for tile in lattice(height, width, window, stride, halo):
        assert tile.own.clipped(*times.shape) == tile.own
        times[tile.own.slices] += 1
    assert (times == 1).all()


@unhurried
@given(sides, sides, cuts())
def test_windows_are_full_size_lie_on_the_stride_and_keep_the_halo_except_at_the_edge(height, width, cut):
    window, stride, halo = cut
    rows, cols = output_size(height, stride), output_size(width, stride)
    for tile in lattice(height, width, window, stride, halo):
        assert (tile.read.height, tile.read.width) == (window, window)
        assert (tile.read.row, tile.read.col) == (tile.out.row * stride, tile.out.col * stride)
        assert tile.own.height > 0 < tile.own.width
        top, left = tile.own.row - tile.out.row, tile.own.col - tile.out.col
        bottom, right = tile.out.height - top - tile.own.height, tile.out.width - left - tile.own.width
        assert top >= halo // stride or tile.own.row == 0
        assert left >= halo // stride or tile.own.col == 0
        assert bottom >= halo // stride or tile.own.row + tile.own.height == rows
        assert right >= halo // stride or tile.own.col + tile.own.width == cols


@unhurried
@given(sides, sides, cuts())
def test_the_last_window_is_moved_back_rather_than_padded_where_the_scene_is_large_enough(height, width, cut):
    window, stride, halo = cut
    for tile in lattice(height, width, window, stride, halo):
        assert tile.read.row >= 0 <= tile.read.col
        for start, size in ((tile.read.row, height), (tile.read.col, width)):
            beyond = start + window - size
            assert beyond < stride if size >= window else start == 0


@unhurried
@given(sides, sides, cuts())
def test_no_window_is_there_twice_or_for_nothing(height, width, cut):
    window, stride, halo = cut
    tiles = lattice(height, width, window, stride, halo)
    assert len({tile.read for tile in tiles}) == len(tiles)
    assert [tile.index for tile in tiles] == list(range(len(tiles)))
    step = window - 2 * halo
    most = [
        1 if size <= window else -(-(output_size(size, stride) * stride - window) // step) + 1
        for size in (height, width)
    ]
    assert len(tiles) == most[0] * most[1]


@unhurried
@given(
    sides,
    sides,
    cuts(),
    st.sampled_from(["mean", "cosine"]),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
)
def test_blending_a_constant_gives_that_constant_to_the_last_bit(height, width, cut, kind, constant):
    window, stride, halo = cut
    shape = (output_size(height, stride), output_size(width, stride))
    tiles = lattice(height, width, window, stride, halo)
    weights = blend_weights(window // stride, kind)
    result = blended(tiles, shape, lambda tile: np.full(weights.shape, np.float32(constant)), weights)
    np.testing.assert_array_equal(result, np.float32(constant))


def test_a_scene_of_two_and_a_half_windows():
    tiles = lattice(56, 140, 56, 14, 0)
    assert [tile.read.col for tile in tiles] == [0, 56, 84]
    assert [(tile.own.col, tile.own.width) for tile in tiles] == [(0, 4), (4, 3), (7, 3)]
    assert [tile.own_in_out[1] for tile in tiles] == [slice(0, 4), slice(0, 3), slice(1, 4)]


def test_the_reference_lattice_of_a_sentinel_2_granule():
    tiles = lattice(10980, 10980, 224, 16, 0)
    assert len(tiles) == 50 * 50  # 10980 / 224 = 49.02: the last column is moved back
    assert tiles[-1].read == Window(10768, 10768, 224, 224)  # ends 12 px beyond, in the last patch
    assert output_size(10980, 16) == 687


def test_windows_need_not_be_square():
    (tile,) = lattice(30, 50, (32, 64), 16, 0)
    assert tile.read == Window(0, 0, 32, 64)
    assert tile.own == Window(0, 0, 2, 4)


def test_cosine_weights_favour_the_middle_and_never_vanish():
    weights = blend_weights(224, "cosine")
    assert weights.shape == (224, 224)
    assert weights.max() == weights[112, 112] == 1.0
    assert weights.min() == weights[0, 0] == 1 / 1024**2
    np.testing.assert_array_equal(weights, weights[::-1, ::-1])
    np.testing.assert_allclose(weights[56, 112], 0.5, atol=0.01)  # sin^2 at a quarter of the side
    np.testing.assert_array_equal(blend_weights(7, "mean"), 1.0)


def test_cosine_blending_hides_a_step_between_two_tiles():
    tiles = lattice(32, 48, 32, 1, 8)
    result = blended(tiles, (32, 48), lambda tile: np.full((32, 32), float(tile.index)), blend_weights(32, "cosine"))
    steps = np.abs(np.diff(result[16]))
    assert (result[16, 0], result[16, -1]) == (0, 1)
    assert steps.max() < 0.15  # without blending: 1


@pytest.mark.parametrize(
    ("window", "stride", "halo", "message"),
    [
        (100, 16, 0, "window is 100 px; expected a multiple of 16: try 96 or 112"),
        (8, 16, 0, "window is 8 px; expected a multiple of 16: try 16 or 32"),
        (224, 16, 20, "halo is 20 px; expected a multiple of 16: try 16 or 32"),
        (224, 16, 112, "halo is 112 px, and nothing of a window of 224 px is left; try at most 96"),
        (224, 0, 0, "stride 0"),
    ],
)
def test_cuts_that_do_not_fit_say_what_would(window, stride, halo, message):
    with pytest.raises(ConfigError, match=message):
        lattice(500, 500, window, stride, halo)


def test_a_window_is_clipped_to_a_raster_and_says_where_it_is():
    assert Window(-5, 90, 20, 20).clipped(100, 100) == Window(0, 90, 15, 10)
    assert Window(120, 0, 10, 10).clipped(100, 100) == Window(100, 0, 0, 10)
    assert str(Window(2, 3, 4, 5)) == "rows 2-5, columns 3-7"


@pytest.mark.parametrize("size", [97, 99, 128, 160, 301])
def test_every_window_starts_in_phase_with_the_grain(size):
    tiles = lattice(size, size, 64, 1, 16, grain_px=16)
    assert all(tile.read.row % 16 == 0 and tile.read.col % 16 == 0 for tile in tiles)
    covered = np.zeros((size, size), int)
    for tile in tiles:
        covered[tile.own.slices] += 1
    assert (covered == 1).all()
