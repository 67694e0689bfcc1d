"""Sources of images: Omniglot, folders of own images, glyphs, downloads. Must not know torch."""
