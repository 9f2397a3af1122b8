"""`python -m weights`, an alias of `enhance weights` in a checkout."""

import sys

from enhance.models.cli import main

sys.exit(main())
