"""Places that hold a mirror."""
