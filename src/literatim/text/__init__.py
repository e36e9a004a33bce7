"""Text in and out: language names, tokenizers, and the files a transcript is written to."""
