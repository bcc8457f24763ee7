"""The first comparison, as it was made: five problems, recipes tuned on the outcome; `results/field.json` is its result."""
