"""The store of sightings (one SQLite file), the exact filtered scan, search and its results."""
