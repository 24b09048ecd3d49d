"""Arrays in, larger arrays out: gray, RGB, with or without transparency, of 8 or 16 bits or floating."""

import os

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from stea_arch.archs.fused import optimize_for
from stea_arch.backends import load_backend
from stea_arch.inference import upscale_tensor
from stea_arch.upscaling.colour import keep_low_frequencies
from stea_arch.upscaling.memory import GIB, SHARE, choose_method, first_convolution, free_memory, lavish_bound
from stea_arch.weights import DEFAULT, load_network, mix_networks
from stea_arch.weights.files import check_weights

DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}
ALPHAS = ('network', 'bicubic')
COLOURS = ('input', 'network')
INVISIBLE = 3.5 / 255  # of transparency: below it colours are not seen, and what is stored there may be anything
LARGEST = {np.dtype(kind): 1 for kind in (np.float16, np.float32, np.float64)}
LARGEST |= {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


class Upscaler:
    """A network that is ready to upscale images one after another.

    Args:
        model (str | PathLike | nn.Module): the name of a shipped network, a checkpoint (see ``weights.load_network``),
            or a network in eval mode.
        device (str | torch.device | None): e.g. 'cpu' or 'cuda:1'; None: the GPU, or the CPU where there is none.
            Apple's ('mps') has to be named, as nothing has been run on one.
        dtype (str): 'fp32', or 'bf16' or 'fp16' for mixed precision: faster where the hardware knows it.
        max_memory (float | None): GiB that the network may take for an image; None: 80% of what is free on the device
            when the image comes. An image that would take more as a whole is computed in strips, with the same result.
        alpha (str): 'network' upscales transparency as the colours, 'bicubic' interpolates it.
        colours (str): 'input' keeps the mean of each channel over blocks of 16x16 pixels of the input; 'network' takes
            the colours as they come: RealNet's drift by up to 9 of 255 levels. A gray image stays gray in both cases.
        backend (str): 'torch', or 'onnxruntime' or 'openvino', which run on a CPU, see ``backends.load_backend``. An
            image that does not fit as a whole is computed in strips by PyTorch all the same.
        strength (float): 0 to 1: 1 is the network's result, 0 what ``base`` says, in between a mixture.
        base (str | PathLike | nn.Module | None): None: strength 0 is the bicubic enlargement, and pixels are mixed.
            Another network of the same architecture, e.g. one that removes less noise: the weights are.

    Attributes:
        network (nn.Module): it, on its device, in its form for inference.
        scale (int): its scale.
        strength (float): of the network's result beside the bicubic one; it may be changed.
        model, colours: as given.

    Raises:
        FileNotFoundError, ValueError: the network cannot be loaded, or an argument is outside of what is listed.
        ImportError, RuntimeError: the backend is not installed, or computes something else than PyTorch.
    """

    def __init__(
        self,
        model: str | os.PathLike | nn.Module = DEFAULT,
        device: str | torch.device | None = None,
        dtype: str = 'fp32',
        max_memory: float | None = None,
        alpha: str = 'network',
        colours: str = 'input',
        backend: str = 'torch',
        strength: float = 1,
        base: str | os.PathLike | nn.Module | None = None,
    ):
        if dtype not in DTYPES:
            raise ValueError(f'dtype must be one of {", ".join(DTYPES)}, got {dtype!r}.')
        if alpha not in ALPHAS:
            raise ValueError(f"alpha must be 'network' or 'bicubic', got {alpha!r}.")
        if colours not in COLOURS:
            raise ValueError(f"colours must be 'input' or 'network', got {colours!r}.")
        if max_memory is not None and not max_memory > 0:
            raise ValueError(f'max_memory must be a number of GiB above 0, got {max_memory!r}.')
        if not 0 <= strength <= 1:
            raise ValueError(f'strength must be a number from 0 to 1, got {strength!r}.')
        self.device = find_device(device if backend == 'torch' else device or 'cpu')
        network = _load(model)
        if base is not None:
            network, strength = mix_networks(_load(base), network, strength), 1
        channels = first_convolution(network).in_channels
        if channels != 3:
            raise ValueError(f'Expected a network for RGB images, got one for {channels} channels.')
        check_weights(network.state_dict(), network, type(network).__name__)
        if backend != 'torch' and not hasattr(network, 'fuse'):
            raise ValueError(f'The backend {backend} is for LabNet and RealNet, got a {type(network).__name__}.')
        self.scale = network.upscale
        self.whole = None if backend == 'torch' else load_backend(network.to(self.device), backend, DTYPES[dtype])
        self.network = optimize_for(network, self.device)
        self.model, self.strength = model, strength
        self.dtype, self.max_memory, self.alpha, self.colours = DTYPES[dtype], max_memory, alpha, colours

    def __call__(self, image: np.ndarray, scale: float | None = None) -> np.ndarray:
        """Upscale one image.

        Args:
            image (ndarray): ``(H, W)`` or ``(H, W, C)``, C = 1 (gray), 2 (gray, alpha), 3 (RGB) or 4 (RGBA), uint8,
                uint16, or floating in [0, 1], with overshoot within [-1, 2]. Alpha is straight, not premultiplied.
            scale (float | None): another scale than the network's: its result is resized, by an antialiased bicubic.

        Returns:
            ndarray: ``(scale H, scale W)`` or ``(scale H, scale W, C)``, rounded to whole pixels, in the type of
            ``image``. A floating one is clipped to [0, 1].

        Raises:
            ValueError: shape, type, scale or values are outside of what is listed, or the result is not finite.
            MemoryError: even in strips the image would take more memory than allowed.
        """
        pixels = _check(image, scale)
        height, width, channels = pixels.shape
        way = self.find_way(height, width)
        factor = self.scale if scale is None else scale
        size = torch.Size(max(1, round(length * factor)) for length in (height, width))

        planes = torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32, order='C')).to(self.device)
        planes /= LARGEST[pixels.dtype]
        if channels % 2:
            parts = [self._colours(planes, way, size)]
        else:
            colours, alpha = planes[:-1], planes[-1:]
            parts = [self._colours(fill_hidden(colours, alpha), way, size), self._alpha(alpha, way, size)]
        result = torch.cat([_to_levels(part, pixels.dtype) for part in parts]).permute(1, 2, 0)
        result = result.contiguous().cpu().numpy().astype(pixels.dtype, copy=False)
        return result[..., 0] if image.ndim == 2 else result

    def find_way(self, height, width):
        """The method and its sizes for an image, in the memory that is free now; a MemoryError if there is none."""
        enough = lavish_bound(self.network, height, width) / SHARE
        allowed = self.max_memory * GIB if self.max_memory else SHARE * free_memory(self.device, enough)
        return choose_method(self.network, height, width, allowed, self.device, self.dtype, bool(self.whole))

    def _colours(self, planes, way, size):
        """``(1 or 3, H, W)`` in [0, 1] -> the same, larger, clipped to [0, 1]; gray is shown to the network as RGB."""
        channels, gray = len(planes), all(torch.equal(planes[0], plane) for plane in planes[1:])
        sr = self._mixed(planes.expand(3, -1, -1)[None], gray, way)
        if sr.shape[-2:] != size:
            sr = F.interpolate(sr, size, mode='bicubic', antialias=True).clamp_(0, 1)
        return sr[0].expand(channels, -1, -1)

    def _mixed(self, lq, gray, way):
        """``(1, 3, H, W)`` in [0, 1] -> the same, or gray ``(1, 1, ...)``, at the network's scale."""
        if self.strength == 0:
            return enlarge(lq[:, :1] if gray else lq, self.scale)
        sr = self._sharpened(lq, gray, way)
        if self.strength < 1:
            for channel in range(sr.shape[1]):  # one at a time: the result is large enough without a copy of it
                sr[:, channel, None].lerp_(enlarge(lq[:, channel, None], self.scale), 1 - self.strength)
        return sr

    def _sharpened(self, lq, gray, way):
        network = self.whole if self.whole and way['method'] == 'whole' else self.network
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            sr = upscale_tensor(network, lq, **way).float()
        if not sr.sum().isfinite():
            raise ValueError(
                'The network gives values that are not finite, though its weights and the image are. '
                + ('Take another checkpoint.' if self.dtype == torch.float32 else 'Take --dtype fp32.')
            )
        sr.clamp_(0, 1)
        if gray:
            sr, lq = sr.mean(1, keepdim=True), lq[:, :1]
        if self.colours == 'input':
            keep_low_frequencies(sr, lq)
        return sr

    def _alpha(self, alpha, way, size):
        if alpha.min() == alpha.max():
            return alpha[:, :1, :1].expand(1, *size)
        if self.alpha == 'network':
            return self._colours(alpha, way, size)
        return F.interpolate(alpha[None], size, mode='bicubic', antialias=True)[0].clamp_(0, 1)


def upscale(
    image: np.ndarray, model: str | os.PathLike | nn.Module = DEFAULT, scale: float | None = None, **arguments
) -> np.ndarray:
    """Upscale one image. For several, make an :class:`Upscaler` once and call it: that loads the network only once.

    Args:
        image (ndarray), scale (float | None): see :meth:`Upscaler.__call__`.
        model (str | PathLike | nn.Module), **arguments: see :class:`Upscaler`.

    Returns:
        ndarray: larger, in the type of ``image``.
    """
    return Upscaler(model, **arguments)(image, scale)


def _load(model):
    return model if isinstance(model, nn.Module) else load_network(model)


def enlarge(image, scale):
    """What the network adds to: ``(B, C, H, W)`` in [0, 1] -> ``(B, C, s H, s W)``, bicubic, clipped."""
    return F.interpolate(image, scale_factor=scale, mode='bicubic').clamp_(0, 1)


def find_device(device=None):
    """The device that is meant: None is the GPU, or the CPU where there is none.

    Raises:
        ValueError: there is no such device.
    """
    if device is None:
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(device)
    except RuntimeError:
        raise ValueError(f'device must be cpu, cuda, cuda:1, ... or mps, got {device}.') from None
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f'The device {device} cannot be used: {str(error).splitlines()[0]} Try cpu.') from error
    return device


def fill_hidden(colours, alpha):
    """Give pixels that are transparent to the eye the colour of the nearest that is not.

    What is stored there is not seen and often black; the network would draw it into the visible edge.

    Args:
        colours (Tensor): ``(C, H, W)``.
        alpha (Tensor): ``(1, H, W)``; 0 is transparent.

    Returns:
        Tensor: ``(C, H, W)``.
    """
    hidden = (alpha[0] < INVISIBLE).cpu().numpy()
    if not hidden.any() or hidden.all():
        return colours
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(hidden, return_distances=False, return_indices=True)
    rows, columns = torch.from_numpy(nearest).to(colours.device).long()
    return colours[:, rows, columns]


def _kind(value):
    kind = type(value)
    if kind.__module__.startswith('PIL.'):
        return 'an image of Pillow: numpy.asarray(image) makes an array of it'
    return f'a {kind.__name__}'


def _check(image, scale):
    dtype, shape = getattr(image, 'dtype', None), getattr(image, 'shape', ())
    whole = len(shape) in (2, 3) and 0 not in shape and (len(shape) == 2 or shape[2] <= 4)
    if not isinstance(image, np.ndarray) or dtype not in LARGEST or not whole:
        raise ValueError(
            'An image must be an array (H, W) or (H, W, C) with 1 to 4 channels last, of uint8, uint16 or floating in '
            f'[0, 1], got {_kind(image) if dtype is None else f"{dtype} of shape {tuple(shape)}"}.'
        )
    if dtype.kind == 'f' and not np.isfinite(image).all():
        raise ValueError(
            'The image holds values that are not finite (NaN or infinite): numbers in [0, 1] were expected.'
        )
    if dtype.kind == 'f' and not (image.min() >= -1 and image.max() <= 2):  # a little beyond is overshoot
        raise ValueError(
            f'Floating images must be in [0, 1], got values from {image.min():g} to {image.max():g}: divide by the '
            'largest possible one, such as 255.'
        )
    if scale is not None and not 0 < scale < float('inf'):
        raise ValueError(f'scale must be a number above 0, got {scale!r}.')
    return image[..., None] if image.ndim == 2 else image


def _to_levels(values, dtype):
    """Values in [0, 1] as the numbers that an array of that type holds; PyTorch itself can do little with uint16."""
    if dtype.kind == 'f':
        return values
    return values.mul(LARGEST[dtype]).round_().to(torch.uint8 if dtype == np.uint8 else torch.int32)
