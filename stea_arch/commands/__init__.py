"""What can be run: a file for each console command, beside ``stea-data``, whose home is ``data_prep``.

Arguments in, exit status out. What takes long to import is imported once the arguments are known to be right.
"""

from stea_arch.system.console import set_up_console
from stea_arch.system.threads import wait_passively

wait_passively()
set_up_console()
