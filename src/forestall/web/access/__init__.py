"""Getting in: the one-time set-up, signing in and out, and what a page needs to be allowed."""
