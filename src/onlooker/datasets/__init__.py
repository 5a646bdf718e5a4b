"""Readers of published dataset layouts, the Manifest, checks, augmentation."""
