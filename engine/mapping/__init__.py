"""Compiling: YAML -> functions. Knows no HTTP."""
