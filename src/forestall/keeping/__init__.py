"""What is kept and what is let go: backup and restore of Forestall itself, holds, deletion of a client."""
