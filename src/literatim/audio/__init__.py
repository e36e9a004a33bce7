"""Sound in: decoding and features."""
