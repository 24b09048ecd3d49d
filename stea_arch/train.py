"""``python -m stea_arch.train -opt FILE``, which torchrun starts as well: the command ``stea-train``."""

from stea_arch.commands.train import main

if __name__ == '__main__':
    main()
