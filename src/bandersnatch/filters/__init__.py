"""Filters: which projects are mirrored, and which files of their pages."""
