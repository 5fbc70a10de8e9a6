"""Trees and configurations of earlier releases; pip and uv."""
