"""The page: its components, scripts and styles. The state of a page is in its scripts."""
