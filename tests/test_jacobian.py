"""The Jacobian by layers against torch.func, and both against one backward pass for each residual."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from pinnedu import MLP, Box, HardConstraint, ModifiedMLP, Observed, On, Periodic, PeriodicEmbedding, Points, Problem
from pinnedu.jacobian import jacobian
from pinnedu.parameters import trainable_parameters

BOX = Box(x=(0, 1), t=(0, 1))
MEASURED = torch.rand(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

HEAT = Problem(
    BOX,
    {"heat": lambda u: u.t - u.xx + u**2},
    {"initial": On(t=0, equation=lambda u, x: u - torch.sin(x)), "flux": On(x=1, equation=lambda u: u.x + u)},
)
PERIODIC = Problem(BOX, {"wave": lambda u: u.t + u.x}, {"around": Periodic("x"), "start": On(t=0, equation=lambda u: u)})
FLOW = Problem(
    BOX,
    {
        "momentum": lambda u, v, nu: (u.t + u * u.x - nu * u.laplacian(), v.t + u * v.x - nu * v.xx),
        "mass": lambda u, v: u.x + v.t,
    },
    {"data": Observed(MEASURED, u=MEASURED[:, 0], v=MEASURED[:, 1]), "left": On(x=0, equation=lambda u, nu: nu * u)},
    fields=("u", "v"),
    unknowns={"nu": 0.3},
)
THIRD = Problem(BOX, {"kdv": lambda u: u.t + 6 * u * u.x + u.xxx})


class Twice(nn.Module):
    """One hidden layer used twice in a pass, and a last layer without bias."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 4, dtype=torch.float64)
        self.hidden = nn.Linear(4, 4, dtype=torch.float64)
        self.last = nn.Linear(4, 1, bias=False, dtype=torch.float64)

    def forward(self, points):
        values = torch.tanh(self.first(points))
        for _ in range(2):
            values = torch.tanh(self.hidden(values))
        return self.last(values)


def mlp(problem, **options):
    model = MLP(problem, hidden=(5, 4), **options)
    if problem.unknowns:
        model.unknowns = nn.ParameterDict(
            {name: nn.Parameter(torch.tensor(value, dtype=torch.float64)) for name, value in problem.unknowns.items()}
        )
    return model


def frozen():
    model = mlp(HEAT)
    model.layers[1].weight.requires_grad_(False)
    model.layers[0].bias.requires_grad_(False)
    return model


CASES = {
    "conditions": (HEAT, lambda: mlp(HEAT)),
    "silu": (HEAT, lambda: mlp(HEAT, activation="silu")),
    "periodic condition": (PERIODIC, lambda: mlp(PERIODIC)),
    "periodic embedding": (PERIODIC, lambda: mlp(PERIODIC, embedding=PeriodicEmbedding(BOX, x=2))),
    "data, unknowns, two fields": (FLOW, lambda: mlp(FLOW)),
    "modified network": (HEAT, lambda: ModifiedMLP(HEAT, hidden=(4, 4))),
    "third order": (THIRD, lambda: mlp(THIRD)),
    "hard constraint": (HEAT, lambda: HardConstraint(mlp(HEAT), HEAT, u=lambda u, x, t: torch.sin(x) + t * u)),
    "a layer used twice, no bias": (HEAT, Twice),
    "frozen weights": (HEAT, frozen),
}


def one_by_one(model, problem, sample, derivatives="autograd"):
    """The definition: a backward pass for each residual, of nested autograd if not of another engine."""
    weights = list(trainable_parameters(model).values())
    found = {}
    for name, residual in problem.residuals(model, sample, derivatives).items():
        rows = [
            torch.autograd.grad(r, weights, retain_graph=True, allow_unused=True, materialize_grads=True)
            for r in residual
        ]
        found[name] = residual.detach(), torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])
    return found


@pytest.mark.parametrize("case", CASES)
def test_layers_func_and_the_definition_agree(case):
    problem, make = CASES[case]
    model = make()
    sample = problem.sample(Points(6, 4))
    by_layers = jacobian(model, problem, sample, method="layers")
    by_func = jacobian(model, problem, sample, method="func")
    defined = one_by_one(model, problem, sample)
    residuals = problem.residuals(model, sample)
    assert list(by_layers) == list(by_func) == list(residuals) == list(problem.terms)
    columns = sum(weight.numel() for weight in trainable_parameters(model).values())
    for name, (residual, rows) in by_layers.items():
        assert rows.shape == (len(residuals[name]), columns)
        assert not rows.requires_grad
        assert not residual.requires_grad
        size = max(defined[name][1].abs().max(), 1e-2)  # an embedding that is periodic leaves rounding only
        assert torch.allclose(residual, residuals[name], rtol=1e-12)
        assert torch.allclose(by_func[name][0], residual, rtol=1e-12, atol=1e-14)
        assert (rows - by_func[name][1]).abs().max() <= 1e-12 * size
        assert (rows - defined[name][1]).abs().max() <= 1e-11 * size


def test_interior_points_alone_give_the_equations():
    model = mlp(HEAT)
    points = BOX.sample(7, "uniform")
    found = jacobian(model, HEAT, points)
    assert list(found) == ["heat"]
    assert torch.equal(found["heat"][1], jacobian(model, HEAT, {"interior": points})["heat"][1])


def test_times_the_residual_it_is_the_gradient_of_the_loss():
    model, sample = mlp(FLOW), FLOW.sample(Points(6, 4))
    gradient = sum(rows.T @ residual for residual, rows in jacobian(model, FLOW, sample).values())
    loss = sum(residual.square().sum() / 2 for residual in FLOW.residuals(model, sample).values())
    expected = torch.autograd.grad(loss, list(trainable_parameters(model).values()))
    assert torch.allclose(gradient, torch.cat([g.flatten() for g in expected]), rtol=1e-10, atol=1e-12)


def test_unknowns_have_a_column():
    model = mlp(FLOW)
    points = BOX.sample(6, "uniform")
    place = list(trainable_parameters(model)).index("unknowns.nu")
    start = sum(weight.numel() for weight in list(trainable_parameters(model).values())[:place])
    _, rows = jacobian(model, FLOW, points)["momentum"]
    nu = model.unknowns["nu"]
    nu.data += 1
    after = FLOW.residuals(model, points)["momentum"]
    nu.data -= 1
    assert torch.allclose(rows[:, start], after - FLOW.residuals(model, points)["momentum"], rtol=1e-9)


# --- memory that is kept


def test_memory_is_used_again():
    model, sample, memory = mlp(HEAT), HEAT.sample(Points(6, 4)), {}
    first = jacobian(model, HEAT, sample, out=memory)["heat"][1]
    kept = first.clone()
    with torch.no_grad():
        model.layers[0].weight += 0.1
    second = jacobian(model, HEAT, sample, out=memory)["heat"][1]
    assert second.data_ptr() == first.data_ptr()
    assert not torch.equal(second, kept)
    assert torch.equal(second, jacobian(model, HEAT, sample)["heat"][1])


def test_memory_of_another_size_is_not_used():
    model, memory = mlp(HEAT), {}
    jacobian(model, HEAT, BOX.sample(6, "uniform"), out=memory)
    points = BOX.sample(9, "uniform")
    assert torch.equal(jacobian(model, HEAT, points, out=memory)["heat"][1], jacobian(model, HEAT, points)["heat"][1])


@pytest.mark.parametrize("method", ["layers", "func"])
@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_chunks_give_the_same_rows(method, chunk):
    model, sample = mlp(FLOW), FLOW.sample(Points(6, 4), generator=torch.Generator().manual_seed(0))
    whole, pieces = jacobian(model, FLOW, sample), jacobian(model, FLOW, sample, method=method, chunk=chunk)
    for name in whole:
        assert torch.allclose(whole[name][0], pieces[name][0], rtol=1e-12, atol=1e-14)
        assert torch.allclose(whole[name][1], pieces[name][1], rtol=1e-10, atol=1e-12)


def test_a_learned_period_is_in_a_layer():
    torch.manual_seed(0)
    model = MLP(HEAT, hidden=(5,), embedding=PeriodicEmbedding(HEAT.domain, {"t": 0.7}, t=2))
    sample = HEAT.sample(Points(6, 4))
    found, defined = jacobian(model, HEAT, sample, method="layers"), one_by_one(model, HEAT, sample)
    for name in defined:
        assert torch.allclose(found[name][1], defined[name][1], rtol=1e-10, atol=1e-11)


# --- models with other weights


class Scaled(nn.Module):
    """A weight outside linear layers."""

    def __init__(self):
        super().__init__()
        self.inner, self.scale = mlp(HEAT), nn.Parameter(torch.tensor(1.3, dtype=torch.float64))

    def forward(self, points):
        return self.inner(self.scale * points)


def normalized():
    model = mlp(HEAT)
    nn.utils.parametrizations.weight_norm(model.layers[0])
    return model


def factorized():
    return ModifiedMLP(HEAT, hidden=(4, 4), factorized=True)


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch.func's own, of weight_norm
@pytest.mark.parametrize("make", [Scaled, normalized, factorized])
def test_weights_outside_linear_layers_go_through_torch_func(make):
    model = make()
    sample = HEAT.sample(Points(6, 4))
    with pytest.raises(ValueError, match="lie outside linear layers: use method='func'"):
        jacobian(model, HEAT, sample, method="layers")
    found, defined = jacobian(model, HEAT, sample), one_by_one(model, HEAT, sample)
    for name in defined:
        assert torch.allclose(found[name][1], defined[name][1], rtol=1e-10, atol=1e-11)


def test_a_model_that_jets_do_not_know():
    model = nn.Sequential(mlp(HEAT), nn.Mish())
    points = BOX.sample(4, "uniform")
    with pytest.warns(UserWarning, match="mish"):
        HEAT.residuals(model, points)
    expected = one_by_one(model, HEAT, {"interior": points})["heat"][1]
    assert torch.allclose(jacobian(model, HEAT, points)["heat"][1], expected, rtol=1e-10, atol=1e-12)


def test_a_chunk_without_points_is_refused():
    with pytest.raises(ValueError, match="chunk must be a number of points of at least 1, not 0"):
        jacobian(mlp(HEAT), HEAT, BOX.sample(4), chunk=0)


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="method='magic' is unknown: choose 'auto', 'layers', 'func' or 'rows'"):
        jacobian(mlp(HEAT), HEAT, BOX.sample(4), method="magic")


# --- each way is held against plain reverse mode


class Anchored(nn.Module):
    """A layer called on jets and on a plain tensor: net(x) - net(0)."""

    def __init__(self):
        super().__init__()
        self.net = mlp(HEAT)

    def forward(self, points):
        return self.net(points) - self.net(torch.zeros(1, 2, dtype=points.dtype))


class Mixing(nn.Module):
    """Each value has the mean of all taken off: rows see each other inside the model."""

    def __init__(self):
        super().__init__()
        self.net = mlp(HEAT)

    def forward(self, points):
        values = self.net(points)
        return values - values.mean(dim=0, keepdim=True)


class Buffered(nn.Module):
    """A buffer takes part, and what it was called on is kept in another."""

    def __init__(self):
        super().__init__()
        self.net = mlp(HEAT)
        self.register_buffer("scale", torch.tensor(1.7, dtype=torch.float64))

    def forward(self, points):
        return self.scale * self.net(points) * self.net(torch.full((1, 2), 0.3, dtype=points.dtype))


def shared():
    """Two layers with one weight."""
    model = MLP(HEAT, hidden=(4, 4, 4))
    model.layers[2].weight = model.layers[1].weight
    return model


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        ctx.save_for_backward(values)
        return values**3

    @staticmethod
    def backward(ctx, gradient):
        return 3 * ctx.saved_tensors[0] ** 2 * gradient


ANY = {"plain": lambda: mlp(HEAT), "anchored": Anchored, "rows": Mixing, "buffer": Buffered, "shared": shared}
# Of the model, what vanishes in the interior: each with another kind of dependence.
EQUATIONS = {
    "local": lambda model: lambda u: u.t - u.xx + u**2,
    "mean over the points": lambda model: lambda u, x: u.t - u.value.mean() * torch.sin(x),
    "largest of the points": lambda model: lambda u: u.x - u.value.max(),
    "integral": lambda model: lambda u: u.t + model(NODES).mean() * u,
    "delay": lambda model: lambda u, points: u.t - model(points - 0.1)[:, 0],
    "reflection": lambda model: lambda u, points: u.x + model(1 - points)[:, 0] ** 2,
    "custom function": lambda model: lambda u: Cube.apply(u.value) + u.x,
}
NODES = torch.rand(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("equation", EQUATIONS)
@pytest.mark.parametrize("make", ANY)
def test_any_dependence_has_its_exact_jacobian(make, equation):
    torch.manual_seed(0)
    model = ANY[make]()
    problem = Problem(BOX, {"e": EQUATIONS[equation](model)}, {"left": On(x=0, equation=lambda u: u.x + u)})
    sample = problem.sample(Points(9, 4), generator=torch.Generator().manual_seed(0))
    # By the engine that trains: nested autograd has other derivatives where the model itself mixes its rows.
    found, defined = jacobian(model, problem, sample), one_by_one(model, problem, sample, "taylor")
    for name, (residual, rows) in defined.items():
        assert torch.allclose(found[name][0], residual, rtol=1e-10, atol=1e-12)
        assert torch.allclose(found[name][1], rows, rtol=1e-9, atol=1e-10 * float(rows.abs().max()) + 1e-13)
        assert not found[name][1].requires_grad


def test_an_equation_without_the_model_has_a_jacobian_of_zeros():
    problem = Problem(BOX, {"given": lambda x: torch.sin(x)})
    for model in (mlp(HEAT), Anchored(), Mixing()):
        residual, rows = jacobian(model, problem, BOX.sample(6))["given"]
        assert residual.abs().max() > 0
        assert rows.shape == (6, sum(weight.numel() for weight in model.parameters()))
        assert not rows.any()


def proven(model, problem, points):
    kept = {}
    jacobian(model, problem, points, proven=kept)
    return {name: way for name, (_, way) in kept.items()}


def test_the_fastest_way_that_is_right_is_taken_for_each_set():
    model = mlp(HEAT)
    integral = On(x=0, equation=lambda u: u + model(NODES).mean())
    mean = On(t=0, equation=lambda u: u - u.value.mean())
    problem = Problem(BOX, {"heat": lambda u: u.t - u.xx}, {"mean": mean, "sum": integral})
    assert proven(model, problem, problem.sample(Points(6, 4))) == {"interior": "layers", "mean": "rows", "sum": "func"}
    assert proven(Anchored(), HEAT, BOX.sample(6)) == {"interior": "func"}
    assert proven(Mixing(), HEAT, BOX.sample(6)) == {"interior": "rows"}


def test_where_residuals_vanish_a_wrong_jacobian_is_seen_too():
    model = Anchored()
    problem = Problem(BOX, {"zero": lambda u: u - u.value.detach()})
    points = BOX.sample(5, "uniform")
    found, defined = jacobian(model, problem, points)["zero"], one_by_one(model, problem, {"interior": points})["zero"]
    assert float(found[0].abs().max()) == 0
    assert torch.allclose(found[1], defined[1], rtol=1e-10, atol=1e-12)


def test_pairs_of_points_that_agree_but_for_rounding_keep_the_fast_way():
    model = mlp(PERIODIC, embedding=PeriodicEmbedding(BOX, x=2))
    assert proven(model, PERIODIC, {"around": PERIODIC.sample(Points(6, 4))["around"]}) == {"around": "layers"}


def test_an_integral_that_vanishes_but_for_rounding_has_its_jacobian():
    """A network without biases is odd, and so its integral is rounding alone: there is nothing to say about that."""
    box = Box(x=(-1, 1))
    nodes, shares = box.quadrature(20)
    model = MLP(Problem(box, {"e": lambda u: u}), hidden=(6,))
    problem = Problem(box, {"integral": lambda u: 0 * u + shares @ model(nodes)[:, 0]})
    _, rows = jacobian(model, problem, box.sample(3))["integral"]
    assert torch.allclose(rows[:, -1], torch.full((3,), 2.0, dtype=torch.float64))  # by the last bias: the length of the box
    assert float(rows[:, :6].abs().max()) < 1e-12


@pytest.mark.parametrize("method", ["layers", "func"])
def test_a_way_that_is_asked_for_and_wrong_is_refused(method):
    with pytest.raises(ValueError, match=f"'heat' has another Jacobian than method='{method}' finds"):
        jacobian(Mixing(), HEAT, BOX.sample(6), method=method)


def test_a_chunk_does_not_change_what_a_residual_is():
    model = mlp(HEAT)
    problem = Problem(BOX, {"e": lambda u: u - u.value.mean()})
    points = BOX.sample(8, "uniform")
    assert torch.allclose(jacobian(model, problem, points, chunk=3)["e"][1], jacobian(model, problem, points)["e"][1])


def test_random_residuals_are_refused_by_name():
    model = nn.Sequential(nn.Linear(2, 5, dtype=torch.float64), nn.Dropout(0.5), nn.Linear(5, 1, dtype=torch.float64))
    problem = Problem(BOX, {"noisy": lambda u: u})
    points = BOX.sample(6)
    with pytest.warns(UserWarning, match="dropout"), pytest.raises(ValueError, match=r"'noisy' has no Jacobian, since .* change"):
        jacobian(model, problem, points)
    model.eval()
    assert jacobian(model, problem, points)["noisy"][1].shape == (6, 21)


def test_a_backward_pass_that_is_not_linear_is_refused_by_name():
    class Signs(torch.autograd.Function):
        @staticmethod
        def forward(ctx, values):
            return values.clone()

        @staticmethod
        def backward(ctx, gradient):
            return torch.sign(gradient)

    problem = Problem(BOX, {"clipped": lambda u: Signs.apply(u.value) * 2})
    with pytest.raises(ValueError, match="'clipped' has no Jacobian: the gradient of a sum"):
        jacobian(mlp(HEAT), problem, BOX.sample(6))


def test_two_threads_take_jacobians_of_their_own_models():
    models, points = [mlp(HEAT), mlp(HEAT)], BOX.sample(50)
    alone = [jacobian(model, HEAT, points)["heat"][1] for model in models]

    def work(i):
        return all(torch.equal(jacobian(models[i], HEAT, points)["heat"][1], alone[i]) for _ in range(40))

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, range(2))) == [True, True]
def test_a_problem_without_equations():
    """The interior has points and no residuals: a regression."""
    box = Box(x=(0, 1))
    problem = Problem(box, {}, {"data": Observed(box.grid(5), u=torch.arange(5.0, dtype=torch.float64))})
    model = MLP(problem, hidden=(3,))
    for method in ("auto", "layers"):
        ((name, (residual, rows)),) = jacobian(model, problem, problem.sample(Points(4)), method=method).items()
        assert (name, len(residual), rows.shape) == ("data", 5, (5, 10))


def test_an_equation_in_which_weights_have_no_say_has_a_jacobian_of_zeros():
    problem = Problem(Box(x=(0, 1)), {"given": lambda x: x - 2, "other": lambda u: u.x})
    model, points = MLP(problem, (3,)), torch.tensor([[0.25], [0.5]], dtype=torch.float64)
    for method in ("layers", "rows", "auto"):
        residual, rows = jacobian(model, problem, points, method=method)["given"]
        assert residual.tolist() == [-1.75, -1.5]
        assert torch.equal(rows, torch.zeros(2, 10, dtype=torch.float64))


def test_row_by_row_a_weight_without_a_say_has_zeros():
    """u.x does not see the last bias; every other column is that of the other ways."""
    problem = Problem(Box(x=(0, 1)), {"slope": lambda u: u.x})
    model, points = MLP(problem, (3,)), torch.tensor([[0.25], [0.5]], dtype=torch.float64)
    found, expected = (jacobian(model, problem, points, method=method)["slope"][1] for method in ("rows", "layers"))
    assert found.shape == (2, 10)
    torch.testing.assert_close(found, expected)
    assert torch.equal(found[:, -1], torch.zeros(2, dtype=torch.float64))
