"""Whether a device computes what it should."""
