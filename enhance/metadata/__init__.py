"""The metadata of results."""
