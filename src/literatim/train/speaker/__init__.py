"""The recipe of the bundled speaker model: voices that are drawn, what they say, training, evaluation and card."""
