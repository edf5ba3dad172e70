"""A package with such a name."""
