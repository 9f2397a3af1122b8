"""The model files: which exist, where they lie, and how they get here, verified.

`ensure` gives a verified file, fetching it if need be; `locate` only looks; `read_state_dict` gives the tensors and
`graph_of` the network. `own_models` are those that were added.
Importing this package loads neither torch nor huggingface_hub.
"""

from .errors import ModelFileError, WeightsFolderError
from .files import is_writable
from .models import Located, Model, manifest
from .own import own_models
from .sources import by_hand
from .state import graph_of, read_state_dict
from .store import Store, ensure, folder, is_convertible, locate

__all__ = [
    "Located",
    "Model",
    "ModelFileError",
    "Store",
    "WeightsFolderError",
    "by_hand",
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
