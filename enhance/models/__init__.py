"""The models: which exist, where their files are, and how they are downloaded and verified.

Importing this package loads neither torch nor huggingface_hub.
"""

from .manifest import UNKNOWN_LICENCE, Located, Model, allows_commercial_use, manifest
from .pairs import parts_of
from .tensors import read_state_dict
from .user_models import is_name, own_models, use
from .weights import WeightStore, ensure, folder, graph_of, is_convertible, locate
