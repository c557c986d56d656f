"""What speaks with each kind of store."""
