"""What the tests compare with: openai/whisper itself, and the rules written down a second time, slowly."""
