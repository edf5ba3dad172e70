"""The parts of a pool: driver, broker, agents and workers."""
