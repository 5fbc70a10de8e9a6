"""The tests come in through the doors: the command line, a real index, real directories."""
