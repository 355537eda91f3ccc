"""Forestall: the operations platform of a fixed-fee managed IT service provider.

The folders are the stages of the road that an observation travels; read them in the order of
`[tool.importlinter]` in pyproject.toml, from the kernel upwards.
"""

__version__ = "0.1.0"
