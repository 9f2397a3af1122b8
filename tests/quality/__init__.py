"""The quality of the presets: degraded photos are upscaled and compared with the originals."""
