"""What listeners share: sockets, connections with limits, datagrams, handing over with patience."""
