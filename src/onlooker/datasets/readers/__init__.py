"""Readers of the published layouts, one file per family; ``onlooker.datasets.catalogue`` lists them."""
