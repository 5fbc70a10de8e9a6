"""Filters that installed packages provide, for the interface of now and for the older one."""
