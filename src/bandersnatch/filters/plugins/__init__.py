"""Filters from other distributions."""
