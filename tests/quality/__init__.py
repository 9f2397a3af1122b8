"""Quality of the presets: photos are downscaled, degraded, upscaled and compared with the
originals."""
