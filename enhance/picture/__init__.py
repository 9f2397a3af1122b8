"""A picture file becomes pixels, and everything about it that the enlarged picture needs.

`inspect` tells what the header says, `read_picture` decodes, both in a process of their own. `Picture` is what the rest
of the program works with.
"""

from .picture import FLAWLESS, Box, Facts, Flaws, Picture
from .worker import inspect, read_picture, warm_up

__all__ = ["FLAWLESS", "Box", "Facts", "Flaws", "Picture", "inspect", "read_picture", "warm_up"]
