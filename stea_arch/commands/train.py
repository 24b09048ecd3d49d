"""``stea-train``: check the options, then run BasicSR's training pipeline."""

from stea_arch.commands._pipeline import run


def main():
    run(is_train=True)
