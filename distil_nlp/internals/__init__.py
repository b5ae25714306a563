"""Files, imports, messages and process settings that every room may use."""
