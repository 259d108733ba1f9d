"""Runs the tasks of profiles: decides what is due, looks at the conditions, starts the commands and records results."""
