"""Messages that came in and that go out: whose they are, what thread they belong to, what is safe to show."""
