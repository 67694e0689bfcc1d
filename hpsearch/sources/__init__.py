"""Where images come from: Omniglot, folders of own images, glyphs, downloads. Must not know torch."""
