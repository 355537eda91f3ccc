"""The backup tools that Forestall reads: one file each with a SPEC and the functions of `backups.adapter`."""
