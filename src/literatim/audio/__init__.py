"""Recordings in: files, bytes, streams and arrays become 16 kHz float32 samples, then features."""
