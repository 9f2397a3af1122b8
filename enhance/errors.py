"""Every error a person can be told about.

Each message is one clear sentence (or two): what is wrong and what to do. The command line prints it and the page
shows it as it stands; nothing else is an expected failure.
"""


class EnhanceError(Exception):
    """Something went wrong that the reader of the message can understand and act on."""


class PictureError(EnhanceError):
    """The input is not a picture this program takes: damaged, too large, or of an unknown kind."""


class SettingsError(EnhanceError):
    """A setting or preset is unknown or out of its range."""


class WeightsError(EnhanceError):
    """A model's weight file is missing, corrupt, or not in the manifest."""


class MemoryShortError(EnhanceError):
    """The device has too little free memory even for the smallest strip."""


class StorageError(EnhanceError):
    """A file or folder cannot be written: a full disk, or no permission."""


class Cancelled(EnhanceError):
    """The caller set the stop event; nothing half-written is left behind."""
