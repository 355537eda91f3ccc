"""Settings, console, API, live events: what people and programs see."""
