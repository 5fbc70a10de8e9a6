"""The package index over HTTP."""
