"""The equations that the networks' tests are held against serve here too: ``import plain``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / 'archs'))
