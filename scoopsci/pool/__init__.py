"""What a pool is made of: its driver and its workers."""
