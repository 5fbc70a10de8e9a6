"""A read-only web server for the mirror."""
