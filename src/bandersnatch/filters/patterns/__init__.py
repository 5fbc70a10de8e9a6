"""Patterns: regular expressions over names and versions, and dotted paths into metadata."""
