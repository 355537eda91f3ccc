"""Captures of devices' configurations: a device is one recipe (a YAML file), the engine is the same."""
