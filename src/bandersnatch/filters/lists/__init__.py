"""Lists: of names, of requirements, and what tools lock."""
