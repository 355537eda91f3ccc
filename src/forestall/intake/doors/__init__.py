"""The doors of the intake over HTTP. A door is one file."""
