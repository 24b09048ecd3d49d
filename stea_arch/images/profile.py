"""Colour profiles of three primaries and their curves, such as Display P3 and Adobe RGB, to sRGB and back.

In floating point and without clipping, as Little CMS behind Pillow knows 8 bits only: what sRGB cannot show is below 0
or above 1. Source: ICC.1:2022, sections 8.3.3 (matrix profiles), 10.6 (curv), 10.18 (para); IEC 61966-2-1 (sRGB).
"""

import struct

import numpy as np

# linear sRGB to XYZ under D50, as all profiles have it
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
STEPS = 2**16 - 1
GRID = np.linspace(0, 1, STEPS + 1)
UNSEEN = 1 / 255  # a profile that differs by less is sRGB's own
LOST = 0.03  # one that does not give back its own numbers is damaged; curves that begin flat are not


class Profile:
    """Of RGB numbers in [0, 1].

    Args:
        primaries (ndarray): (3, 3), columns XYZ of red, green and blue under D50.
        curves (list[ndarray]): of each channel, (65536,), rising: light in [0, 1] for numbers from 0 to 1.
    """

    def __init__(self, primaries, curves):
        matrix = np.linalg.solve(SRGB, primaries)
        matrix /= matrix.sum(1, keepdims=True)  # white is white
        self.matrix, self.inverse = (each.astype(np.float32) for each in (matrix, np.linalg.inv(matrix)))
        self.curves = [curve.astype(np.float32) for curve in curves]
        # over the root of light, as curves are steep near black
        self.roots = [np.interp(np.append(GRID, 1) ** 2, curve, GRID).astype(np.float32) for curve in curves]

    def to_srgb(self, values):
        """``(..., 3)`` numbers of this profile in [0, 1] -> those of sRGB, beyond [0, 1] where it ends; float32."""
        places = np.rint(values * np.float32(STEPS)).astype(np.int32)
        light = np.stack([curve[places[..., i]] for i, curve in enumerate(self.curves)], -1)
        return _bend(_mix(self.matrix, light), _encode)

    def from_srgb(self, values):
        """The inverse; what this profile cannot show is clipped."""
        light = _mix(self.inverse, _bend(values.astype(np.float32), _decode))
        places = np.sqrt(light.clip(0, 1)) * np.float32(STEPS)
        below = places.astype(np.int32)
        places -= below
        ends = [np.stack([curve[below[..., i] + k] for i, curve in enumerate(self.roots)], -1) for k in (0, 1)]
        return ends[0] + places * (ends[1] - ends[0])


def read_profile(icc):
    """A profile to convert by.

    Args:
        icc (bytes | None): A colour profile.

    Returns:
        Profile | None: None where numbers are to be taken as those of sRGB: it is sRGB, to less than one of 255 levels,
        or another kind of profile (gray, tables), or damaged.
    """
    steps = np.linspace(0, 1, 17)
    colours = np.stack(np.meshgrid(steps, steps, steps), -1)
    try:
        tags = _tags(icc or b'')
        with np.errstate(all='ignore'):
            primaries = np.stack([_numbers(tags[name], 8, 3) for name in (b'rXYZ', b'gXYZ', b'bXYZ')], 1)
            profile = Profile(primaries, [_curve(tags[name]) for name in (b'rTRC', b'gTRC', b'bTRC')])
            values = profile.to_srgb(colours)
            back = profile.from_srgb(values)
    except (KeyError, struct.error, ValueError, ArithmeticError):
        return None
    sound = np.isfinite(values).all() and np.abs(back - colours).max() < LOST
    return profile if sound and np.abs(values - colours).max() > UNSEEN else None


def _tags(icc):
    """Name -> content; none where lookup tables or other spaces say more than primaries and curves."""
    if icc[16:24] != b'RGB XYZ ':
        return {}
    (count,) = struct.unpack_from('>I', icc, 128)
    entries = [struct.unpack_from('>4sII', icc, 132 + 12 * i) for i in range(min(count, 100))]
    tags = {name: icc[start : start + size] for name, start, size in entries}
    return {} if b'A2B0' in tags else tags


def _numbers(tag, start, count):
    """Fixed-point numbers, s15Fixed16."""
    return np.array(struct.unpack_from(f'>{count}i', tag, start)) / 2**16


def _curve(tag):
    if tag[:4] == b'curv':
        (count,) = struct.unpack_from('>I', tag, 8)
        values = np.array(struct.unpack_from(f'>{count}H', tag, 12))
        if count < 2:
            return GRID ** (values[0] / 256 if count else 1)
        curve = np.interp(GRID, np.linspace(0, 1, count), values / 65535)
    else:
        kind = struct.unpack_from('>H', tag, 8)[0] if tag[:4] == b'para' else None
        g, a, b, c, d, e, f = _parameters(kind, tag)
        curve = np.where(d <= GRID, np.maximum(a * GRID + b, 0) ** g + e, c * GRID + f)
    if not (np.diff(curve) >= 0).all():
        raise ValueError('a curve that falls has no inverse')
    return curve


def _parameters(kind, tag):
    """Those of the longest form of a parametric curve: ``(a x + b)^g + e`` from d on, ``c x + f`` below."""
    values = [*_numbers(tag, 12, {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}[kind])]
    if kind == 0:
        return values[0], 1, 0, 0, 0, 0, 0
    if kind in (1, 2):
        g, a, b = values[:3]
        constant = values[3] if kind == 2 else 0
        return g, a, b, 0, -b / a, constant, constant
    return (*values, 0, 0) if kind == 3 else values


def _mix(matrix, light):
    """Colours times a matrix whose rows add up to 1: by differences, so that gray stays gray to the last bit."""
    differences = [[light[..., j] - light[..., i] for j in range(3)] for i in range(3)]
    mixed = [light[..., i] + sum(matrix[i, j] * differences[i][j] for j in range(3) if j != i) for i in range(3)]
    return np.stack(mixed, -1)


def _bend(values, function):
    """A curve for positive numbers, mirrored at 0 for others."""
    return np.copysign(function(np.abs(values)), values)


def _encode(light):
    return np.where(light > 0.0031308, 1.055 * light ** np.float32(1 / 2.4) - 0.055, 12.92 * light)


def _decode(values):
    return np.where(values > 0.04045, ((values + 0.055) / 1.055) ** np.float32(2.4), values / 12.92)
