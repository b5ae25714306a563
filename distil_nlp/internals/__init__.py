"""Files, messages and guards that every room may use."""
