"""What files are built for: Pythons and platforms, as their names tell."""
