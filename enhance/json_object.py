"""The type of facts that are written as JSON: files, responses and the arguments of calls."""

from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
"""A JSON object in Python: its values are texts, numbers, booleans, None, lists and objects."""
