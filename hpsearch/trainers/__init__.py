"""What one trial runs: the siamese trainer or a command. Knows no search and no executor."""
