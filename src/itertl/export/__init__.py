"""A trained policy for others to use: a checkpoint folder with its model card, a GGUF file, a hub repository."""
