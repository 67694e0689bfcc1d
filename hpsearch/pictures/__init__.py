"""A user's own images: how they may lie, how they are read and split. Must not know torch."""
