"""The command line: arguments, logging, progress, summary, exit codes."""
