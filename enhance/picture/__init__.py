"""A picture file becomes pixels, and everything about it that the enlarged picture needs.

`inspect` tells what the header says, `read_picture` decodes. `Picture` is what the rest of the program works with.
"""

from .picture import Box, Facts, Picture
from .read import inspect, read_picture

__all__ = ["Box", "Facts", "Picture", "inspect", "read_picture"]
