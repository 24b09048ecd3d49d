"""``stea-test``: check the options, then run BasicSR's test pipeline."""

from stea_arch.commands._pipeline import run


def main():
    run(is_train=False)
