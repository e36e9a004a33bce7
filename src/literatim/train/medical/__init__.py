"""How the bundled medical model is made: dictated radiology from a grammar, spoken by espeak-ng, for a small MedASR."""
