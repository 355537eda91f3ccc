"""What a client pays for: terms by date, counts of the estate, prices. Blind to tickets and time."""
