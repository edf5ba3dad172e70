"""One instrument out of a handful of machines that answer to SSH."""
