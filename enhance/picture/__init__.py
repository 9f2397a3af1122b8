"""A picture file becomes pixels, and everything about it that the enlarged picture needs.

`inspect` tells what the header says, `read_picture` decodes, both in a process of their own. `Picture` is what the rest
of the program works with.
"""

from .picture import Box, Facts, Picture, reduced_size
from .worker import inspect, read_picture, warm_up

__all__ = ["Box", "Facts", "Picture", "inspect", "read_picture", "reduced_size", "warm_up"]
