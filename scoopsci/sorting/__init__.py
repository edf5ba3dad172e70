"""What a sort is made of: sorted runs, two phases, and memory that processes share."""
