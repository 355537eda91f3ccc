"""One cause, one alert; evidence sealed first; then people are told."""
