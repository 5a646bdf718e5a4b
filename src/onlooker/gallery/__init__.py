"""The gallery: sightings with their crops and vectors in one SQLite file, and the exact search over them.

Nothing is imported here, so that a command pays only for the parts it uses. ``store`` holds the file, ``scan`` and
``search`` find the matches, ``results`` and ``sheet`` write them down.
"""
