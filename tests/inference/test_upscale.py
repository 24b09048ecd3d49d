"""The entry: methods, sizes, and results that go where the caller wants them."""

import numpy as np
import pytest
import torch
from basicsr.utils import tensor2img

from stea_arch.inference import METHODS, upscale_tensor

SMALL = {'strips': {'strip': 8}, 'tiles': {'tile': 16, 'overlap': 8}}


@pytest.fixture
def both(make_net, image):
    """A network and an image of 21 x 10."""
    return make_net(), image(21, 10)


@pytest.mark.parametrize('method', METHODS)
class TestResult:
    def test_a_given_tensor_is_filled(self, both, method):
        expected = upscale_tensor(*both, method, **SMALL.get(method, {}))
        out = torch.empty_like(expected)
        assert upscale_tensor(*both, method, out=out, **SMALL.get(method, {})) is out
        torch.testing.assert_close(out, expected)

    def test_bytes_are_those_of_basicsr(self, both, method):
        expected = upscale_tensor(*both, method, **SMALL.get(method, {}))
        out = torch.empty(expected.shape, dtype=torch.uint8)
        upscale_tensor(*both, method, out=out, **SMALL.get(method, {}))
        assert out.min() == 0 and out.max() == 255
        np.testing.assert_array_equal(out[0].permute(1, 2, 0).numpy(), tensor2img([expected], rgb2bgr=False))

    def test_a_file_of_half_precision_pixels(self, both, method, tmp_path):
        expected = upscale_tensor(*both, method, **SMALL.get(method, {}))
        file = np.lib.format.open_memmap(tmp_path / 'out.npy', 'w+', np.float16, (42, 20, 3))
        upscale_tensor(*both, method, out=file.transpose(2, 0, 1)[None], **SMALL.get(method, {}))
        file.flush()
        stored = torch.from_numpy(np.load(tmp_path / 'out.npy'))
        assert torch.equal(stored.permute(2, 0, 1)[None], expected.half())

    @pytest.mark.parametrize(
        'out, came',
        [
            (torch.empty(1, 3, 42, 21), r'torch.float32 of shape \(1, 3, 42, 21\)'),
            (np.empty((1, 3, 42, 20), np.int64), r'torch.int64 of shape'),
            ([1], 'a list'),
        ],
    )
    def test_what_does_not_fit_is_refused(self, both, method, out, came):
        with pytest.raises(ValueError, match=rf'of shape \(1, 3, 42, 20\), of uint8 or a floating type, got {came}'):
            upscale_tensor(*both, method, out=out, **SMALL.get(method, {}))


def test_whole_is_the_network_itself(both):
    net, lq = both
    with torch.no_grad():
        assert torch.equal(upscale_tensor(net, lq), net(lq))


def test_arrays_that_cannot_be_written_are_refused(both):
    out = np.zeros((1, 3, 42, 20))
    out.flags.writeable = False
    with pytest.raises(ValueError, match='out must be a writable tensor or array'):
        upscale_tensor(*both, out=out)


@pytest.mark.parametrize(
    'method, sizes, message',
    [
        ('stripes', {}, "method must be one of whole, strips, tiles, got 'stripes'"),
        (['tiles'], {}, 'method must be one of'),
        ('whole', {'strip': 8}, "method 'whole' does not read strip: it takes no sizes"),
        ('strips', {'tile': 8}, "method 'strips' does not read tile: it takes strip. Remove it"),
        ('tiles', {'tile': 4}, 'tile must be a whole number of at least 8 pixels, got 4'),
        ('tiles', {'overlap': -1}, 'overlap must be a whole number of at least 0 pixels, got -1'),
        ('strips', {'strip': 1.5}, 'strip must be a whole number of at least 1 pixels, got 1.5'),
    ],
)
def test_wrong_methods_and_sizes(both, method, sizes, message):
    with pytest.raises(ValueError, match=message):
        upscale_tensor(*both, method, **sizes)


def test_a_single_image_without_a_batch_is_refused(both):
    net, lq = both
    with pytest.raises(ValueError, match=r'\(B, C, H, W\), got a tensor of shape \(3, 21, 10\)'):
        upscale_tensor(net, lq[0], 'strips')
