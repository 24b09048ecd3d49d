"""``python -m stea_arch.test -opt FILE``: check the options, then run BasicSR's test pipeline."""

from stea_arch.cli import run


def main():
    run(is_train=False)


if __name__ == '__main__':
    main()
