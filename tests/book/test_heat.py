"""What the chapter on the heat equation claims of the package, over three seeds."""

from statistics import median

from pinnedu import MLP, Adam, GaussNewton, fit, problems


def error(seed, **recipe):
    heat = problems.heat()
    return fit(MLP(heat, hidden=(10, 20)), heat, seed=seed, progress=False, **recipe).error


def test_best_recipe_reaches_four_digits_within_five_seconds():
    assert median(error(seed, optimizer=GaussNewton(), steps=100, seconds=5) for seed in range(3)) < 1e-4


def test_the_usual_recipe_learns_the_solution_roughly():
    assert 1e-3 < error(0, optimizer=Adam(0.05), steps=1500) < 0.15
