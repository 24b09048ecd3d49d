"""Profiles made here byte by byte, converted here and by Little CMS."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from stea_arch.images.decode import Photo
from stea_arch.images.profile import read_profile
from stea_arch.upscaling.colour import upscale_in_srgb

# XYZ under D50 of red, green and blue, as the published profiles have them
PRIMARIES = {
    'P3': [(0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)],
    'Adobe RGB': [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)],
    'sRGB': [(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)],
}
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def fixed(*values):
    return struct.pack(f'>{len(values)}i', *(round(value * 2**16) for value in values))


def parametric(kind, *values):
    return b'para' + bytes(4) + struct.pack('>HH', kind, 0) + fixed(*values)


def tabulated(*values):
    return b'curv' + bytes(4) + struct.pack(f'>I{len(values)}H', len(values), *values)


CURVES = {
    'sRGB': parametric(3, *SRGB_CURVE),
    'seven': parametric(4, *SRGB_CURVE, 0, 0),
    'gamma': tabulated(563),  # 2.2, in 256ths
    'power': parametric(0, 1.8),
    'offset': parametric(1, 2.0, 0.9, 0.1),
    'lifted': parametric(2, 2.0, 0.9, 0.05, 0.01),
    'line': tabulated(),
    'table': tabulated(*(round(65535 * (i / 99) ** 2.1) for i in range(100))),
}


def make_profile(primaries, curve):
    """A monitor profile of version 4 (ICC.1:2022, section 7)."""
    content = {
        b'desc': b'mluc' + bytes(4) + struct.pack('>II2s2sII', 1, 12, b'en', b'US', 2, 28) + 'x'.encode('utf-16-be'),
        b'cprt': b'mluc' + bytes(4) + struct.pack('>II2s2sII', 1, 12, b'en', b'US', 2, 28) + 'x'.encode('utf-16-be'),
        b'wtpt': b'XYZ ' + bytes(4) + fixed(0.9642, 1, 0.8249),
    }
    for name, xyz in zip((b'r', b'g', b'b'), PRIMARIES[primaries]):
        content[name + b'XYZ'] = b'XYZ ' + bytes(4) + fixed(*xyz)
        content[name + b'TRC'] = CURVES[curve]
    start, table, data = 132 + 12 * len(content), struct.pack('>I', len(content)), b''
    for name, tag in content.items():
        table += struct.pack('>4sII', name, start + len(data), len(tag))
        data += tag + bytes(-len(tag) % 4)
    size = start + len(data)
    header = struct.pack(
        '>I4sI4s4s4s12s4s28s', size, bytes(4), 0x04300000, b'mntr', b'RGB ', b'XYZ ', bytes(12), b'acsp', bytes(28)
    )
    return (header + fixed(0.9642, 1, 0.8249)).ljust(128, b'\0') + table + data


def by_lcms(pixels, source, target):
    profiles = [ImageCms.ImageCmsProfile(io.BytesIO(icc)) for icc in (source, target)]
    flags = ImageCms.Flags.NOOPTIMIZE | ImageCms.Flags.NOCACHE
    result = ImageCms.profileToProfile(
        Image.fromarray(pixels), *profiles, ImageCms.Intent.RELATIVE_COLORIMETRIC, flags=flags
    )
    return np.asarray(result)


@pytest.mark.parametrize('primaries', ['P3', 'Adobe RGB'])
@pytest.mark.parametrize('curve', CURVES)
def test_colours_are_those_of_little_cms(primaries, curve):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    wide = make_profile(primaries, curve)
    profile, srgb = read_profile(wide), make_profile('sRGB', 'sRGB')
    found = profile.to_srgb(pixels / 255)
    expected = by_lcms(pixels, wide, srgb)
    assert np.abs((found.clip(0, 1) * 255).round() - expected).max() <= 1
    assert (found < -0.01).any() and (found > 1.01).any()  # nothing is clipped
    back = profile.from_srgb(found)
    np.testing.assert_allclose(back, pixels / 255, atol=0.02 if curve == 'lifted' else 1e-3)
    inside = np.abs((profile.from_srgb(pixels / 255) * 255).round() - by_lcms(pixels, srgb, wide))
    assert (inside <= 1).mean() > 0.999 and inside.max() <= 2  # it inverts tables coarsely


def test_gray_stays_gray_to_the_last_bit():
    gray = np.repeat(np.linspace(0, 1, 999)[:, None], 3, 1)
    for curve in CURVES:
        profile = read_profile(make_profile('P3', curve))
        values = profile.to_srgb(gray)
        assert (values == values[:, :1]).all()
        back = profile.from_srgb(values)
        assert (back == back[:, :1]).all()


def test_what_is_srgb_or_another_kind_is_not_converted():
    assert read_profile(make_profile('sRGB', 'sRGB')) is None
    assert read_profile(ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()) is None
    assert read_profile(ImageCms.ImageCmsProfile(ImageCms.createProfile('LAB')).tobytes()) is None
    wide = make_profile('P3', 'gamma')
    assert read_profile(wide) is not None
    for other in (
        None,
        b'',
        b'no profile',
        wide[:140],
        wide[:300],
        wide.replace(b'curv', b'????'),
        wide.replace(b'wtpt', b'A2B0'),
    ):
        assert read_profile(other) is None


@pytest.mark.filterwarnings('error')
def test_damaged_profiles_are_used_or_not_but_break_nothing():
    rng, used = np.random.default_rng(0), 0
    colours = rng.random((9, 3))
    for number in range(400):
        icc = bytearray(make_profile('P3', list(CURVES)[number % len(CURVES)]))
        for place in rng.integers(0, len(icc), 3):
            icc[place] = rng.integers(256)
        profile = read_profile(bytes(icc))
        if profile is not None:
            used += 1
            np.testing.assert_allclose(profile.from_srgb(profile.to_srgb(colours)), colours, atol=0.1)
    assert 0 < used < 400


@pytest.mark.parametrize('primaries', ['P3', 'Adobe RGB'])
@pytest.mark.parametrize('channels', [3, 4])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_the_network_sees_srgb_and_colours_stay_as_vivid_as_they_were(primaries, channels, dtype):
    """Patches of one colour each, among them what sRGB cannot show, come back as they were, of 16 bits, too."""
    patches = np.random.default_rng(0).integers(0, 256, (8, 8, channels)).astype(dtype)
    patches[0, :3, :3] = 255 * np.eye(3)
    pixels = patches.repeat(16, 0).repeat(16, 1)
    if dtype == np.uint16:
        pixels = (pixels * 257 - (pixels > 99) * 100).astype(dtype)  # not one of 256 levels
    icc, seen = make_profile(primaries, 'gamma'), []

    def double(values):
        seen.append(values)
        return values.repeat(2, 0).repeat(2, 1)

    result = upscale_in_srgb(Photo(pixels, icc), double)
    levels = (seen[0] * 255).round()
    if dtype == np.uint8:
        expected = by_lcms(np.ascontiguousarray(pixels[..., :3]), icc, make_profile('sRGB', 'sRGB'))
        assert np.abs(levels[..., :3] - expected).max() <= 1
        np.testing.assert_array_equal(levels[..., 3:], pixels[..., 3:])
    assert seen[0].min() >= 0 and seen[0].max() <= 1
    assert result.dtype == dtype and result.shape == (256, 256, channels)
    inner = np.s_[16::32, 16::32]  # the middle of each patch
    off = np.abs(result[inner].astype(int) - pixels[8::16, 8::16])
    assert off.max() <= (0 if dtype == np.uint8 else 40)  # near black a step of light is many of 65536


def test_what_is_srgb_is_not_touched():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    for photo in (
        Photo(pixels),
        Photo(pixels, make_profile('sRGB', 'sRGB')),
        Photo(pixels[..., :1], make_profile('P3', 'sRGB')),
    ):
        assert upscale_in_srgb(photo, lambda values: values) is photo.pixels
