"""Retrieval metrics, protocols, reports."""
