"""Access tokens for object stores: where they come from, and how they are renewed."""
