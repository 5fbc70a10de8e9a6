"""The memory of what a mirror has: rebuildable from the tree, and deletable at any time."""
