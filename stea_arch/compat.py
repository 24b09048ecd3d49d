"""The only place that mends foreign code. ``apply()`` runs before BasicSR is first imported."""
import importlib.util
import sys
import types

LIBGL_HELP = (
    'OpenCV could not be loaded: {error}\n'
    'opencv-python needs the system libraries libGL.so.1 and libglib2.0, which bare servers and containers lack. '
    'Either install them (Debian, Ubuntu: apt-get install libgl1 libglib2.0-0) or put the build without windows in '
    'its place: pip install --force-reinstall --no-deps opencv-python-headless'
)


def apply():
    """Mend what BasicSR 1.4.2 needs to be imported at all. Doing it twice changes nothing."""
    check_opencv()
    restore_functional_tensor()


def check_opencv():
    """Raise an ImportError that says what to install where ``import cv2`` fails for want of system libraries."""
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        if '.so' not in str(error):
            raise
        raise ImportError(LIBGL_HELP.format(error=error)) from error


def restore_functional_tensor():
    """Give ``basicsr.data.degradations`` the module it imports ``rgb_to_grayscale`` from.

    Breaks: ``import basicsr`` with ModuleNotFoundError. Since: torchvision 0.17 removed
    ``torchvision.transforms.functional_tensor``. Upstream: XPixelGroup/BasicSR#650, merged after 1.4.2 and never
    released.
    """
    name = 'torchvision.transforms.functional_tensor'
    if name in sys.modules or importlib.util.find_spec(name) is not None:
        return
    from torchvision.transforms.functional import rgb_to_grayscale

    module = types.ModuleType(name, 'Stand-in made by stea_arch.compat')
    module.rgb_to_grayscale = rgb_to_grayscale
    sys.modules[name] = module
