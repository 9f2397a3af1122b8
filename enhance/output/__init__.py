"""The network's output becomes a file: tuned and resized by rows, written as PNG, and brought to a screen's size."""
