"""What the commands call: train, evaluate, extract."""
