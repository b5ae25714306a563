"""Files, imports, messages and process settings that every subpackage may use."""
