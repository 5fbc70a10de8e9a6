"""The configuration file: read once, into frozen values, with every problem in one error."""
