"""Pure functions and values, one file a module."""
