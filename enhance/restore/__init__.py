"""What is done with the output of a network: tuning, resampling, faces, and haze removal."""
