"""The engines: one file each, all behind the seam of `base`."""
