"""How the bundled models were made: synthetic speech, a small Whisper, frozen test sets. One command rebuilds them."""
