"""The engine: exact row streaming of a network on one device."""
