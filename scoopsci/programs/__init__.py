"""SCOOP programs, run unchanged on the workers of a pool."""
