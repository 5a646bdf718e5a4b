"""Onlooker: describe a person in words, find them in photos and footage, on one small computer."""

__version__ = "0.1.0"
