"""What a mirror does: the use cases, over ports."""
