"""Recipes, losses, the training loop, schedules, resume."""
