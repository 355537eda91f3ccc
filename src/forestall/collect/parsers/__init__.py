"""From bytes on the wire to columns."""
