"""Asks a served mirror or index as pip and uv do, and judges the answers."""
