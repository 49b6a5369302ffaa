"""What a person types: the commands of `ccproxy`, a module for each kind."""
