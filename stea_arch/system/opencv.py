"""OpenCV where the libraries that it needs are missing."""

LIBGL_HELP = (
    'OpenCV could not be loaded: {error}\n'
    'opencv-python needs the system libraries libGL.so.1 and libglib2.0, which bare servers and containers lack. '
    'Either install them (Debian, Ubuntu: apt-get install libgl1 libglib2.0-0) or put the build without windows in '
    'its place: pip install --force-reinstall --no-deps opencv-python-headless'
)


def check_opencv():
    """Raise an ImportError that says what to install where ``import cv2`` fails for want of system libraries."""
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        if '.so' not in str(error):
            raise
        raise ImportError(LIBGL_HELP.format(error=error)) from error
