"""The option room: an option file in, a checked dict or one list of everything that is wrong with it out.

``reading`` turns YAML and ``--force_yml`` into a dict, ``schema`` says which keys there are, ``check`` walks over them,
``relations`` and ``machine`` judge what single keys cannot show. ``python -m stea_arch.options FILE...`` checks files
without starting anything.
"""

from stea_arch.options.problems import OptionError
from stea_arch.options.reading import read_options

__all__ = ['OptionError', 'read_options']
