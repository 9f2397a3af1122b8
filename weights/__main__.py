"""`python -m weights`, an alias of `enhance weights` in a checkout."""

import sys

from enhance.cli.weights import main

sys.exit(main())
