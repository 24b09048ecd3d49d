import numpy as np
import pytest
from basicsr.utils.matlab_functions import imresize as basicsr_imresize

from stea_arch.degradations.resize import imresize, resize_matrix


@pytest.mark.parametrize('scale', [1 / 2, 1 / 3, 1 / 4, 2, 3, 4, 0.7, 1.5])
@pytest.mark.parametrize('shape', [(64, 64, 3), (61, 47, 3), (9, 30, 1), (97, 122)])
def test_equals_basicsr(scale, shape):
    img = np.random.default_rng(0).random(shape, dtype=np.float32)
    ours, theirs = imresize(img, scale), basicsr_imresize(img, scale)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours.reshape(theirs.shape), theirs, rtol=0, atol=1e-5)


def test_weights_of_halving():
    # by hand: half of Keys' cubic at 1/4, 3/4, 5/4 and 7/4
    row = resize_matrix(32, 16)[8]
    expected = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256
    np.testing.assert_allclose(row[13:21], expected, atol=1e-15)
    assert not row[:13].any() and not row[21:].any()


@pytest.mark.parametrize('lengths', [(1, 1), (1, 4), (2, 8), (3, 1), (4, 1), (5, 2), (8, 2)])
def test_border_longer_than_signal(lengths):
    length, out = lengths
    signal = np.random.default_rng(1).random(length)
    repeats = 32  # the mirrored signal written out, far enough to either side
    line = np.concatenate([signal, signal[::-1]] * 2 * repeats)
    long = resize_matrix(len(line), len(line) * out // length, out / length) @ line
    start = 2 * repeats * out
    np.testing.assert_allclose(resize_matrix(length, out) @ signal, long[start : start + out], atol=1e-12)


def test_constant_stays_constant():
    for lengths in ((255, 85), (7, 3), (10, 40)):
        np.testing.assert_allclose(resize_matrix(*lengths).sum(1), 1, atol=1e-14)


def test_matrix_is_cached_and_read_only():
    matrix = resize_matrix(48, 12)
    assert resize_matrix(48, 12) is matrix
    with pytest.raises(ValueError, match='read-only'):
        matrix[0, 0] = 1


def test_refuses_impossible_sizes():
    with pytest.raises(ValueError, match='in_length=0 and out_length=3'):
        resize_matrix(0, 3)
    with pytest.raises(ValueError, match=r'positive number, got -1.0'):
        resize_matrix(4, 2, -1)
    with pytest.raises(ValueError, match=r'\(H, W\) or \(H, W, C\), got \(1, 2, 3, 4\)'):
        imresize(np.zeros((1, 2, 3, 4), np.float32), 2)
