"""The outputs of a teacher, computed once and stored."""
