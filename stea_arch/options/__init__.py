"""The option room: an option file in, a checked dict or one list of everything that is wrong with it out.

``reading`` turns YAML and ``--force_yml`` into a dict, ``schema`` says which keys there are, ``check`` walks over them,
``relations`` and ``machine`` judge what single keys cannot show. ``python -m stea_arch.options FILE...`` checks files
without starting anything.
"""

import basicsr  # noqa: F401  (first: see stea_arch.plugin)

from stea_arch.options.check import check_options
from stea_arch.options.problems import OptionError
from stea_arch.options.reading import parse_value, read_options

__all__ = ['OptionError', 'check_options', 'parse_value', 'read_options']
