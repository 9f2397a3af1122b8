"""The model files: which exist, where they lie, and how they get here, verified.

`ensure` gives a verified file, fetching it if need be; `locate` only looks; `read_state_dict` gives the tensors and
`graph_of` the network. `own_models` are those that were added.
Importing this package loads neither torch nor huggingface_hub.
"""

from .files import is_writable
from .manifest import Located, Model, manifest
from .sources import by_hand
from .store import Store, ensure, folder, is_convertible, locate
from .tensors import check_state, graph_of, read_state_dict
from .user_models import own_models

__all__ = [
    "Located",
    "Model",
    "Store",
    "by_hand",
    "check_state",
    "ensure",
    "folder",
    "graph_of",
    "is_convertible",
    "is_writable",
    "locate",
    "manifest",
    "own_models",
    "read_state_dict",
]
