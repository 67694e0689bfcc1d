"""Networks trained on other pictures, whose maps are compared. Must not know the search."""
