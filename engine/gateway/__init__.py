"""Serving: everything that awaits."""
