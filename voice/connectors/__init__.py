"""Speech-to-text and text-to-speech services: one vendor's wire format a file, one line in the registry."""
