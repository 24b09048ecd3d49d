import copy

import cv2
import numpy as np
import psutil
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import stea_arch
from stea_arch.archs.labnet_arch import LabNet
from stea_arch.archs.realnet_arch import RealNet
from stea_arch.backends import BACKENDS
from stea_arch.inference import estimate_memory
from stea_arch.upscaling import memory
from stea_arch.upscaling.memory import GIB, choose_method, free_memory, lavish_bound
from stea_arch.upscaling.upscaler import Upscaler, fill_hidden, find_device


@pytest.fixture
def upscaler(network):
    """With the network's own colours, which can be told beforehand."""
    return Upscaler(network, 'cpu', colours='network')


def make_image(channels=3, dtype=np.uint8, height=11, width=14):
    values = np.random.default_rng(1).random((height, width, channels))
    return values.astype(dtype) if np.dtype(dtype).kind == 'f' else (values * np.iinfo(dtype).max).round().astype(dtype)


def plain(network, image):
    """The network on an RGB image in [0, 1], in double numbers of the output: no rounding, no type."""
    with torch.no_grad():
        sr = network(torch.from_numpy(image.astype(np.float32).transpose(2, 0, 1)[None].copy()))
    return sr[0].clamp(0, 1).permute(1, 2, 0).numpy()


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float16, np.float32, np.float64])
def test_colours_are_the_network_s_in_the_type_of_the_image(upscaler, network, dtype):
    image = make_image(dtype=dtype)
    largest = 1 if np.dtype(dtype).kind == 'f' else np.iinfo(dtype).max
    result = upscaler(image)
    assert result.dtype == dtype
    expected = plain(network, image.astype(np.float64) / largest) * largest
    if largest > 1:
        expected = expected.round()
    np.testing.assert_allclose(result, expected, atol=2e-3 if dtype == np.float16 else largest * 1e-5 + (largest > 1))
    assert largest == 1 or (result == expected).mean() > 0.8  # the others fell to the other side of a half


def test_gray_is_the_mean_of_three_equal_channels(upscaler, network):
    image = make_image(1, np.float32)
    expected = plain(network, np.repeat(image, 3, 2)).mean(2)
    for shaped in (image, image[..., 0]):
        result = upscaler(shaped)
        assert result.ndim == shaped.ndim
        np.testing.assert_allclose(result.reshape(expected.shape), expected, atol=1e-5)


def test_alpha_by_the_network_or_by_bicubic(network):
    image = make_image(4, np.float32)
    image[..., 3] = np.maximum(image[..., 3], 0.1)
    by_network, by_bicubic = (
        Upscaler(network, 'cpu', alpha=alpha, colours='network')(image) for alpha in ('network', 'bicubic')
    )
    np.testing.assert_allclose(by_network[..., :3], plain(network, image[..., :3]), atol=1e-5)
    np.testing.assert_array_equal(by_network[..., :3], by_bicubic[..., :3])
    np.testing.assert_allclose(
        by_network[..., 3], Upscaler(network, 'cpu', colours='network')(image[..., 3]), atol=1e-5
    )
    alpha = torch.from_numpy(image[None, None, ..., 3].copy())
    cubic = F.interpolate(alpha, scale_factor=2, mode='bicubic', antialias=True)[0, 0].clamp(0, 1)
    np.testing.assert_allclose(by_bicubic[..., 3], cubic, atol=1e-5)


@pytest.mark.parametrize('value', [0, 255])
def test_uniform_alpha_stays_what_it_is(upscaler, value):
    image = np.dstack([make_image(3), np.full((11, 14), value, np.uint8)])
    result = upscaler(image)
    assert (result[..., 3] == value).all()
    np.testing.assert_array_equal(result[..., :3], upscaler(image[..., :3]))


def test_gray_with_alpha(upscaler):
    image = make_image(2)
    image[..., 1] |= 8
    result = upscaler(image)
    assert result.shape == (22, 28, 2)
    np.testing.assert_array_equal(result[..., 0], upscaler(image[..., 0]))


def test_hidden_colours_do_not_reach_the_visible_edge(upscaler):
    """A white square on hidden black comes out as on hidden white."""
    alpha = np.zeros((16, 16, 1), np.uint8)
    alpha[4:12, 4:12] = 255
    white, black = (np.dstack([np.full((16, 16, 3), value, np.uint8), alpha]) for value in (255, 0))
    black[4:12, 4:12, :3] = 255
    np.testing.assert_array_equal(upscaler(black), upscaler(white))


def test_hidden_pixels_get_the_colour_of_the_nearest_visible():
    colours, alpha = torch.tensor([[[1.0, 2, 3, 4, 5]]]), torch.tensor([[[3 / 255, 1, 0, 0.01, 0.1]]])
    assert fill_hidden(colours, alpha).tolist() == [[[2, 2, 2, 5, 5]]]
    assert fill_hidden(colours, alpha * 0) is colours


@pytest.mark.parametrize(
    ('scale', 'shape'), [(1.5, (16, 21, 3)), (2, (22, 28, 3)), (3, (33, 42, 3)), (0.01, (1, 1, 3))]
)
def test_another_scale_by_resizing(upscaler, scale, shape):
    image = make_image()
    result = upscaler(image, scale)
    assert result.shape == shape
    native = torch.from_numpy(upscaler(image)).permute(2, 0, 1)[None].float()
    expected = F.interpolate(native, shape[:2], mode='bicubic', antialias=True)[0].permute(1, 2, 0)
    np.testing.assert_allclose(result, expected.clamp(0, 255), atol=2.1)


def test_one_image_by_one_call(network, checkpoint):
    image = make_image()
    result = stea_arch.upscale(image, checkpoint, device='cpu')
    np.testing.assert_array_equal(result, Upscaler(network, 'cpu')(image))


def test_mixed_precision_is_close_and_not_equal(network):
    image = make_image(dtype=np.float32)
    mixed, exact = (Upscaler(network, 'cpu', dtype)(image) for dtype in ('bf16', 'fp32'))
    assert 0 < np.abs(mixed - exact).max() < 0.05


def test_strips_give_the_same(network):
    image = make_image(dtype=np.float32, height=40)
    whole = Upscaler(network, 'cpu')(image)
    room = estimate_memory(network, 40, 14, 'strips') / GIB
    strips = Upscaler(network, 'cpu', max_memory=room)(image)
    np.testing.assert_allclose(strips, whole, atol=1e-5)


def test_the_method_is_the_first_that_fits(network, monkeypatch):
    needed = {'whole': 0.2 * GIB, 'strips': 0.1 * GIB}
    monkeypatch.setattr(memory, 'estimate_memory', lambda network, height, width, method, dtype: needed[method])
    gpu = torch.device('cuda')
    for gib, method in [(90, 'whole'), (0.2, 'whole'), (0.19, 'strips'), (0.1, 'strips')]:
        assert choose_method(network, 400, 300, gib * GIB, gpu, torch.float32) == {'method': method}
    with pytest.raises(MemoryError, match=r'300x400 pixels .* 0\.10 GiB even in parts, and 0\.09.*--max-memory'):
        choose_method(network, 400, 300, 0.09 * GIB, gpu, torch.float32)


@pytest.mark.parametrize(
    ('size', 'way'),
    [
        ((512, 512), {'method': 'whole'}),  # maps of 2 C = 32 channels: 32 MiB
        ((512, 516), {'method': 'strips', 'strip': 128}),
        ((3000, 2000), {'method': 'strips', 'strip': 131 - 54}),  # 131 rows are 32 MiB; the blocks' halo is 27
        ((9000, 9000), {'method': 'strips', 'strip': 32}),
    ],
)
def test_on_a_cpu_no_map_is_so_large_that_it_is_slow(size, way):
    network = LabNet(num_feat=16, num_blocks=(1, 1, 1, 1, 1, 1), upscale=2).fuse()
    cpu = torch.device('cpu')
    assert choose_method(network, *size, 1e15, cpu, torch.float32) == way
    assert choose_method(network, *size, 1e15, torch.device('cuda'), torch.float32) == {'method': 'whole'}
    # a network that strips cannot follow is run whole
    assert choose_method(nn.Conv2d(3, 3, 1), *size, 1e15, cpu, torch.float32) == {'method': 'whole'}


def test_two_streams():
    image = make_image(dtype=np.float32)
    net = RealNet(streams=2, num_feat=16, num_blocks=(1, 1, 1, 1, 1, 1), upscale=2).eval()
    np.testing.assert_allclose(Upscaler(net, 'cpu', colours='network')(image), plain(net, image), atol=1e-5)


@pytest.mark.parametrize(('num_feat', 'upscale', 'streams'), [(16, 2, 2), (32, 3, 1), (64, 4, 1)])
def test_the_lavish_bound_is_above_the_estimate(num_feat, upscale, streams):
    network = RealNet(streams=streams, num_feat=num_feat, num_blocks=(1, 1, 1, 1, 1, 1), upscale=upscale)
    network = Upscaler(network, 'cpu').network
    estimate = estimate_memory(network, 500, 400, 'whole')
    assert estimate < lavish_bound(network, 500, 400) < 4 * estimate


def test_free_memory_is_what_a_container_leaves(monkeypatch, tmp_path):
    cpu = torch.device('cpu')
    monkeypatch.setattr(memory, 'CGROUP', tmp_path)
    machine = free_memory(cpu)
    assert machine > 2**20
    (tmp_path / 'memory.max').write_text('max\n')
    (tmp_path / 'memory.current').write_text('1000\n')
    assert free_memory(cpu) > 2**20
    (tmp_path / 'memory.max').write_text('5000\n')
    (tmp_path / 'memory.stat').write_text('anon 600\ninactive_file 300\nactive_file 100\n')
    assert free_memory(cpu) == 4300  # files that were read fill the limit up, and give way


def test_memory_is_given_back_only_where_too_little_seems_free(monkeypatch):
    given = []
    monkeypatch.setattr(memory, 'give_back_memory', lambda: given.append(True))
    free_memory(torch.device('cpu'), enough=1)
    assert not given
    free_memory(torch.device('cpu'), enough=1e18)
    assert len(given) == 1


def test_free_memory_where_neither_sysconf_nor_proc_tells(monkeypatch, tmp_path):
    """As on Windows, whose Python has no ``os.sysconf``."""
    monkeypatch.delattr('os.sysconf')
    monkeypatch.setattr(memory, 'CGROUP', tmp_path)
    assert 2**20 < free_memory(torch.device('cpu')) <= psutil.virtual_memory().total


@pytest.mark.parametrize(
    ('image', 'message'),
    [
        ([[1, 2], [3, 4]], r'array \(H, W\) or \(H, W, C\).*a list'),
        (np.zeros((4, 4, 5), np.uint8), r'1 to 4 channels.*uint8 of shape \(4, 4, 5\)'),
        (np.zeros((0, 4), np.uint8), r'shape \(0, 4\)'),
        (np.zeros((1, 4, 4, 3), np.uint8), r'shape \(1, 4, 4, 3\)'),
        (np.zeros((4, 4), np.int32), r'uint8, uint16 or floating.*int32'),
        (np.full((4, 4, 3), np.nan, np.float32), r'values that are not finite'),
        (np.full((4, 4), np.inf), r'values that are not finite'),
        (np.full((4, 4), 255.0), r'in \[0, 1\], got values from 255 to 255: divide'),
        (np.full((4, 4, 3), -128, np.float16), r'got values from -128 to -128'),
        (torch.zeros(4, 4), r'array .* torch\.float32 of shape \(4, 4\)'),
    ],
)
def test_what_is_no_image_is_refused(upscaler, image, message):
    with pytest.raises(ValueError, match=message):
        upscaler(image)


def test_overshoot_is_clipped(upscaler):
    assert upscaler(np.array([[-0.5, 1.5]])).shape == (2, 4)


@pytest.mark.parametrize('scale', [0, -1, float('inf'), float('nan')])
def test_a_scale_must_be_above_0(upscaler, scale):
    with pytest.raises(ValueError, match=f'scale must be a number above 0, got {scale}'):
        upscaler(make_image(), scale)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'dtype': 'half'}, r"dtype must be one of fp32, bf16, fp16, got 'half'"),
        ({'alpha': 'none'}, r"alpha must be 'network' or 'bicubic', got 'none'"),
        ({'colours': 'mine'}, r"colours must be 'input' or 'network', got 'mine'"),
        ({'max_memory': 0}, r'max_memory must be a number of GiB above 0, got 0'),
        ({'device': 'cuda:99'}, r'device cuda:99 cannot be used: .* Try cpu'),
        (
            {'model': LabNet(1, 1, 16, (1, 1, 1, 1, 1, 1))},
            r'RGB images, got one for 1 channels',
        ),
        ({'strength': 1.1}, r'strength must be a number from 0 to 1, got 1.1'),
        ({'base': 'labnet-s-x4'}, r'networks of one architecture, got a LabNet and a LabNet that differ in dec1.0'),
        ({'device': 'gpu'}, r'device must be cpu, cuda, cuda:1, \.\.\. or mps, got gpu'),
    ],
)
def test_wrong_arguments_are_refused(network, arguments, message):
    with pytest.raises(ValueError, match=message):
        Upscaler(**{'model': network, **arguments})


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('way', [{'method': 'whole'}, {'method': 'strips', 'strip': 16}])
def test_strength_lies_between_bicubic_and_the_network(network, channels, way, monkeypatch):
    image = make_image(channels, np.float32, 90, 70)
    strong = Upscaler(network, 'cpu')(image)
    bicubic = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC).reshape(strong.shape).clip(0, 1)
    upscaler = Upscaler(network, 'cpu', strength=0.3)
    monkeypatch.setattr(upscaler, 'find_way', lambda *_: way)
    np.testing.assert_allclose(upscaler(image), 0.3 * strong + 0.7 * bicubic, atol=2e-5)
    upscaler.strength = 0
    np.testing.assert_allclose(upscaler(image), bicubic, atol=2e-5)


def test_strength_mixes_the_weights_of_two_networks(network):
    other, mean, image = copy.deepcopy(network), copy.deepcopy(network), make_image()
    with torch.no_grad():
        for ours, theirs, between in zip(network.parameters(), other.parameters(), mean.parameters()):
            theirs += 0.01 * torch.randn(theirs.shape, generator=torch.Generator().manual_seed(0))
            between.copy_(0.75 * ours + 0.25 * theirs)
    expected = {0: other, 0.75: mean, 1: network}
    for strength, same in expected.items():
        found = Upscaler(network, 'cpu', 'fp32', strength=strength, base=other)(image)
        np.testing.assert_allclose(found, Upscaler(same, 'cpu')(image), atol=1)
    assert not np.array_equal(Upscaler(other, 'cpu')(image), Upscaler(network, 'cpu')(image))


@pytest.mark.parametrize(('cuda', 'expected'), [(True, 'cuda'), (False, 'cpu')])
def test_a_gpu_is_taken_where_there_is_one_but_apples_only_by_name(monkeypatch, cuda, expected):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, 'is_available', lambda: True)
    assert find_device() == torch.device(expected) and find_device('cpu') == torch.device('cpu')


def test_a_backend_computes_what_fits_as_a_whole(network, monkeypatch):
    """PyTorch computes the rest, in strips."""
    seen = []

    def load(net, dtype, threads, folder):
        return lambda lq: seen.append(tuple(lq.shape[2:])) or net(lq)

    monkeypatch.setitem(BACKENDS, 'onnxruntime', load)
    image = np.random.default_rng(0).integers(0, 256, (40, 33, 3)).astype(np.uint8)
    expected = Upscaler(network, 'cpu')(image)
    upscaler = Upscaler(network, backend='onnxruntime')
    del seen[:]  # sizes on which a backend is checked before it is used
    np.testing.assert_array_equal(upscaler(image), expected)
    assert seen == [(40, 33)]
    monkeypatch.setattr(memory, 'estimate_memory', lambda *_, method, **__: {'whole': 2 * GIB, 'strips': 0}[method])
    upscaler.max_memory = 1e-6
    np.testing.assert_allclose(upscaler(image).astype(int), expected, atol=1)
    assert len(seen) == 1


def test_a_large_image_is_left_whole_for_a_backend(network):
    arguments = network, 1000, 1000, 1e15, torch.device('cpu'), torch.float32
    assert choose_method(*arguments)['method'] == 'strips'
    assert choose_method(*arguments, keep_whole=True) == {'method': 'whole'}


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_a_network_that_is_broken_is_refused(network, value):
    broken = copy.deepcopy(network)
    broken.enc2[0].beta.data[0] = value
    with pytest.raises(ValueError, match=r'LabNet: 1 of \d+ parameters hold values that are not finite.*enc2\.0\.beta'):
        Upscaler(broken, 'cpu')


@pytest.mark.parametrize(('dtype', 'factor', 'help'), [('fp32', 1e38, 'another checkpoint'), ('bf16', 1e38, 'fp32')])
def test_a_result_that_is_not_finite_is_an_error(network, dtype, factor, help):
    large = copy.deepcopy(network)
    large.head.weight.data *= factor
    with pytest.raises(ValueError, match=rf'values that are not finite.*{help}'):
        Upscaler(large, 'cpu', dtype)(make_image())
