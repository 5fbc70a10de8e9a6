"""Pages of the Simple Repository API: text to values and values to text, pure."""
