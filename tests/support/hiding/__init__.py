"""Hides names from the program; see ``sitecustomize`` in this directory."""

from tests.support.hiding.sitecustomize import is_on

__all__ = ["is_on"]
