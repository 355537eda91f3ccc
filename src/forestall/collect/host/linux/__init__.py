"""Looks at a Linux machine: /proc, /etc, systemd and the tools of distributions."""
