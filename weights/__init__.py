"""The model files: which exist, where they lie, and how they get here, verified.

`ensure` gives a verified file, fetching it if need be; `locate` only looks; `read_state_dict` gives the tensors.
Importing this package loads neither torch nor huggingface_hub.
"""

from .errors import ModelFileError, WeightsFolderError
from .files import is_writable
from .models import Model, manifest
from .state import read_state_dict
from .store import Located, Store, ensure, folder, is_convertible, locate

__all__ = [
    "Located",
    "Model",
    "ModelFileError",
    "Store",
    "WeightsFolderError",
    "ensure",
    "folder",
    "is_convertible",
    "is_writable",
    "locate",
    "manifest",
    "read_state_dict",
]
