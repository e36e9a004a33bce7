"""From recordings to transcripts: windows, batches of them, segments."""
