"""Executes one statement, from its text to its rows."""
