"""Drafts of study files: for a folder of images, a command, a sweep of W&B."""
