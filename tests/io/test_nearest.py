"""The nearest cell with data: squares, the order of reading, edges."""

import numpy as np

from zoo.io.nearest import nearest_valid


def by_rings(valid, row, col, furthest):
    """As the rule is worded: squares that grow, cut at the edge, read row by row."""
    for radius in range(furthest + 1):
        for down in range(-radius, radius + 1):
            for right in range(-radius, radius + 1):
                y, x = row + down, col + right
                if 0 <= y < valid.shape[0] and 0 <= x < valid.shape[1] and valid[y, x]:
                    return y, x
    return -1, -1


def test_it_is_the_first_cell_of_the_smallest_square():
    generator = np.random.default_rng(0)
    for share in (0.5, 0.05, 0.005):
        valid = generator.random((30, 40)) < share
        rows, cols = generator.integers(0, 30, 200), generator.integers(0, 40, 200)
        found = nearest_valid(valid, rows, cols, furthest=9)
        expected = [by_rings(valid, row, col, 9) for row, col in zip(rows, cols, strict=True)]
        assert np.array_equal(np.stack(found, axis=1), expected)


def test_corners_count_as_near_as_sides_and_the_order_of_reading_decides():
    valid = np.zeros((5, 5), bool)
    valid[1, 1] = valid[2, 3] = True  # a corner of the square around the middle, and a side
    assert nearest_valid(valid, np.array([2]), np.array([2])) == (np.array([1]), np.array([1]))


def test_nothing_is_found_where_there_is_nothing_or_it_is_too_far():
    valid = np.zeros((4, 9), bool)
    assert [one.tolist() for one in nearest_valid(valid, np.array([1]), np.array([1]))] == [[-1], [-1]]
    valid[0, 8] = True
    assert [one.tolist() for one in nearest_valid(valid, np.array([0]), np.array([0]), furthest=7)] == [[-1], [-1]]
    assert [one.tolist() for one in nearest_valid(valid, np.array([0]), np.array([0]), furthest=8)] == [[0], [8]]
