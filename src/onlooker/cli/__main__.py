"""``python -m onlooker.cli``: the same as the ``onlooker`` command."""

import sys

from onlooker.cli import main

sys.exit(main())
