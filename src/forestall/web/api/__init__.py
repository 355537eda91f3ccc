"""The API: everything that people can do in the console, for programs. Thin: parse, call, render."""
