"""The fault suite: everything that can go wrong, made to go wrong."""
