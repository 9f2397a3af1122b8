"""From the network's rows to what is shown and read again: resizing, a small picture for the screen, the PNG's rows."""
