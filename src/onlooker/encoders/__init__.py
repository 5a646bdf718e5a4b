"""Image and text towers, projection heads, DualEncoder, LoRA, checkpoints."""
