"""How ways to do the same work are measured side by side, and judged."""
