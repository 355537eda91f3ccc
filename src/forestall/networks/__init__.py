"""What discovery saw of clients' networks: devices, proposals, links, the map, and what hangs on what."""
