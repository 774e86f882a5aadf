"""What the server tells about itself: log events, metrics. Nothing here decides anything."""
