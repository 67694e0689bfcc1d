"""How good a model is: one-shot accuracy, verification, strangers; and what needs no training."""
