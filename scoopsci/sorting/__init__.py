"""The parts of a sort: sorted runs, its two phases, and memory shared between processes."""
