"""What serving each client costs, and what that leaves of its fee: never a line of an invoice."""
