"""The command line: one file per group of commands, the live view. Nothing heavy is imported."""
