"""From logits to tokens: pure functions over callables, without a model."""
