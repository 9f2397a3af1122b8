"""`python -m weights`, an alias of `enhance weights` in a checkout."""

import sys

from enhance.cli import program

program(["weights", *sys.argv[1:]])
