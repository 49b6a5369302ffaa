"""Real Claude Code, in sessions through the proxy with providers that follow a script. `make e2e` runs them."""
