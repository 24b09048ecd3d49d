"""``python -m stea_arch.test -opt FILE``, which torchrun starts as well: the command ``stea-test``."""

from stea_arch.commands.test import main

if __name__ == '__main__':
    main()
