"""Moves a mirror to another place."""
