"""One module per command: parse, call the operation, print."""
