"""`python -m pipeline.cli` is `mien`."""

import sys

from pipeline.cli import main

sys.exit(main())
