"""The protocol: plain functions and generators. No sockets, no clock, no YAML."""
