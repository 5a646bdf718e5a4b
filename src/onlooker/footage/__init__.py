"""From photos and videos to crops: sources, person detection, tracking, best views, ingest."""
