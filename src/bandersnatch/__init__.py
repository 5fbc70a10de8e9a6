"""A PyPI mirror client."""

__version__ = "9.0.0"
