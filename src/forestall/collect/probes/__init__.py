"""Active questions. A probe is one file: a SPEC and `async def probe(settings, reach)`."""
