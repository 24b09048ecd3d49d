"""Which cases and which regions are shown."""

import numpy as np
import pytest

from stea_arch.results.picture import MARGIN, choose_rows, cut, draw_grid, find_region


def test_rows_go_through_the_images_and_from_narrow_to_wide():
    names = [image for image in 'abc' for _ in range(8)]
    assert choose_rows(names, 3) == [0, 8 + 4, 16 + 7]
    assert choose_rows(names, 1) == [0]
    assert choose_rows(['a', 'b'], 5) == [0, 1]


@pytest.fixture
def images():
    """Truth; a result that is wrong at the upper left, and another that is so at the lower right, but less."""
    gt = np.full((48, 60, 3), 100, np.uint8)
    one, other = gt.copy(), gt.copy()
    one[8:16, 8:16] = 200
    other[32:40, 40:48] = 150
    return gt, one, other


@pytest.mark.parametrize('order', [1, -1])
def test_the_region_is_where_best_and_worst_are_farthest_apart(images, order):
    gt, one, other = images
    assert find_region([gt, one, other][::order], gt, 8, 2) == (8, 8, 8)
    one[8:16, 8:16], other[8:16, 8:16] = 200, 200  # now both are wrong there: no difference
    assert find_region([one, other][::order], gt, 8, 2) == (32, 40, 8)
    # without a truth: where they are apart, whoever is right
    assert find_region([one, other][::order], None, 8, 2) == (32, 40, 8)


def test_a_single_result_is_shown_where_it_is_farthest_from_the_truth(images):
    gt, one, _ = images
    assert find_region([one], gt, 8, 4) == (8, 8, 8)
    top, left, side = find_region([one], None, 16, 4)  # or where it has edges
    assert side == 16 and top < 16 and left < 16


def test_regions_lie_on_whole_pixels_of_the_input_and_inside(images):
    gt, one, other = images
    top, left, side = find_region([one, other], gt, 50, 3)
    assert side == 48 and top % 3 == left % 3 == 0 and top + side <= 48 and left + side <= 60
    assert cut(one, (8, 8, 8)).min() == 200
    np.testing.assert_array_equal(cut(one[::2, ::2], (8, 8, 8), 2), np.full((4, 4, 3), 200))


def test_a_grid_shows_every_tile_enlarged_in_squares_with_its_text_below():
    tiles = np.random.default_rng(0).integers(0, 255, (3, 4, 4, 3), np.uint8)
    grid = np.asarray(draw_grid([[('one', tiles[0]), ('two\nlines', tiles[1])], [('x' * 99, tiles[2])]], 40))
    assert grid.shape[1] == 2 * 40 + 3 * MARGIN
    second_row = (len(grid) - MARGIN) // 2  # both rows have as much room; only the text's lines differ
    for tile, left in zip(tiles, (MARGIN, 40 + 2 * MARGIN)):
        np.testing.assert_array_equal(grid[MARGIN:, left:][:40, :40], tile.repeat(10, 0).repeat(10, 1))
        assert (grid[MARGIN + 40 : second_row, left : left + 40] < 128).any()
    last = next(
        grid[y:, MARGIN:][:40, :40]
        for y in range(MARGIN + 41, len(grid))
        if (grid[y, MARGIN : MARGIN + 40] == tiles[2, 0].repeat(10, 0)).all()
    )
    np.testing.assert_array_equal(last, tiles[2].repeat(10, 0).repeat(10, 1))
    assert (grid[:, -MARGIN:] == 255).all()  # a text too long for its tile is cut
