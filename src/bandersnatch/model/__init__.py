"""Frozen values of the package index, named as in the PEPs; pure."""
