"""The append-only Merkle log (RFC 6962) under everything: actions, evidence, issued documents."""
