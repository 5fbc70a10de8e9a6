"""Pages of the Simple Repository API: parse and render; pure."""
