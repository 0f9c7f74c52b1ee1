"""How weights are made and scored: data, recipe, training, evaluation."""
