"""Matplotlib without a window, asked for before minutes of measuring, not after."""


def load_pyplot():
    """``matplotlib.pyplot``; where it is not installed, the program ends and says how to get it."""
    try:
        import matplotlib
    except ImportError:
        raise SystemExit('The plot needs matplotlib: pip install --no-build-isolation -e .[benchmarks]') from None
    matplotlib.use('Agg')
    from matplotlib import pyplot

    return pyplot
