"""The configuration file, read once into frozen values; one error has all problems."""
