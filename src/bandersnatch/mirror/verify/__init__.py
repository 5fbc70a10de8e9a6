"""The command ``verify``: the tree compared with what the catalogue knows of it, and repaired."""
