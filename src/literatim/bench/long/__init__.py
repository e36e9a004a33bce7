"""Long recordings: programs beside each other on sound made of the bundled clips."""
