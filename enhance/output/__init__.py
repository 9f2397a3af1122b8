"""The output stage: tuning, resampling, encoders, thumbnails, and the names of results."""
