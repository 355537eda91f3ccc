"""Work for a person, from an alert or by hand."""
