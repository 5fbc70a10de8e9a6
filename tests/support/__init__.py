"""Shared test code: an index, a server, a clock, mirrors, and strategies of hypothesis."""
