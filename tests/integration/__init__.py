"""The whole program against a local server that is the index."""
