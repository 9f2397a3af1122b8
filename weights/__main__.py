"""`python -m weights`, an alias of `enhance weights` in a checkout."""

from enhance.models.cli import program

program()
