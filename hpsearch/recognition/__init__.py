"""A trained model in use: load its folder, rank images. Imports torch only when used."""
