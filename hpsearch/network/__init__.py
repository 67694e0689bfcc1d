"""Koch's siamese network: its geometry (no torch) and the network itself. Knows no data."""
