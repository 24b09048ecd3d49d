"""What a result may not change: gray, and the colours seen from afar. On the networks that people get."""

import numpy as np
import pytest
import skimage.data

from stea_arch.upscaling.upscaler import Upscaler
from stea_arch.weights import shipped

PHOTOS = {
    'astronaut': skimage.data.astronaut()[40:104, 200:280],
    'coffee': skimage.data.coffee()[100:161, 300:375],  # no multiple of 16
    'noise': np.random.default_rng(0).integers(0, 256, (48, 48, 3)).astype(np.uint8),
    'black and white': np.repeat(np.kron(np.eye(8), np.ones((5, 5)))[..., None] * 255, 3, 2).astype(np.uint8),
}


@pytest.fixture(scope='module', params=sorted(shipped()))
def upscaler(request):
    return Upscaler(request.param, 'cpu')


def block_means(image, size):
    """Means over whole blocks, by numpy's own sums."""
    rows, columns = (length // size for length in image.shape[:2])
    whole = image[: rows * size, : columns * size].astype(np.float64)
    return whole.reshape(rows, size, columns, size, -1).mean((1, 3))


@pytest.mark.parametrize('photo', PHOTOS)
def test_means_over_blocks_are_those_of_the_input(upscaler, photo):
    image = PHOTOS[photo]
    result = upscaler(image)
    difference = np.abs(block_means(result, 16 * upscaler.scale) - block_means(image, 16)).max()
    assert difference <= (2 if 'realnet' in str(upscaler.model) else 1)


def test_the_network_s_own_colours_are_to_be_had(upscaler):
    image = PHOTOS['astronaut']
    own = Upscaler(upscaler.model, 'cpu', colours='network')(image)
    kept = upscaler(image)
    assert (own != kept).any()
    own, kept = (np.abs(block_means(result, 64) - block_means(image, 16)).mean() for result in (own, kept))
    assert kept < own / 2


@pytest.mark.parametrize('colours', ['input', 'network'])
@pytest.mark.parametrize('channels', [3, 4])
def test_a_gray_image_stays_gray(upscaler, channels, colours):
    gray = PHOTOS['astronaut'][..., 1]
    image = np.dstack([gray] * 3 + [255 - gray] * (channels == 4))
    upscaler.colours = colours
    result = upscaler(image)
    upscaler.colours = 'input'
    assert (result[..., :1] == result[..., :3]).all()
    if channels == 3 and colours == 'input':
        np.testing.assert_array_equal(result[..., 0], upscaler(gray))


@pytest.mark.parametrize('alpha', [1, 2, 3])
def test_colours_that_are_next_to_invisible_leave_no_fringe(upscaler, alpha):
    image = np.full((32, 32, 4), 255, np.uint8)
    outside = np.ones((32, 32), bool)
    outside[8:24, 8:24] = False
    image[outside] = (0, 255, 0, alpha)
    gone = image.copy()
    gone[outside] = (0, 255, 0, 0)
    seen = upscaler(gone)[..., 3] > 8
    np.testing.assert_array_equal(upscaler(image)[seen][:, :3], upscaler(gone)[seen][:, :3])
    assert upscaler(image)[seen][:, 0].min() > 250
