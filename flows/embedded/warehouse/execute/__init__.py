"""One statement from its text to its rows."""
