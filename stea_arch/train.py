"""``python -m stea_arch.train -opt FILE``: check the options, then run BasicSR's training pipeline."""

from stea_arch.cli import run


def main():
    run(is_train=True)


if __name__ == '__main__':
    main()
