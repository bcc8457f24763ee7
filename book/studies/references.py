"""Three references that many papers use, each measured: by how much is it wrong?

No chance is in it. The finite elements are those of scikit-fem on a mesh of rays, another program and another mesh than the
twenty lines of the chapter.
"""

import numpy as np
import skfem
from skfem.models.poisson import laplace

from pinnedu.reference import allen_cahn, laplace_holes, schroedinger
from pinnedu.studies import Claim, Study

CENTER, RADIUS, HALF = laplace_holes.OFFSET, laplace_holes.RADIUS, 0.5
RAYS = {1_000: 16, 15_000: 62}  # on each side of the square, for about so many points


def distance(found, exact):
    """The relative difference in the mean square."""
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def kink(points):
    """Allen and Cahn's equation on a grid of so many points, against 16384."""
    x, t = np.meshgrid(np.linspace(-1, 1, 257), np.linspace(0.1, 1, 10))
    return distance(allen_cahn.exact(x, t, points=points), allen_cahn.exact(x, t))


def solitons(points):
    """The formula of the whole line, against the periodic problem with so many modes."""
    x, t = np.meshgrid(np.linspace(-5, 5, 401), np.linspace(0, schroedinger.END, 41))
    return distance(schroedinger.two_solitons(x, t), schroedinger.exact(x, t, steps=500, modes=points))


def elements(points):
    """Linear finite elements on a quarter of the square with four holes, on rays from its circle to its walls."""
    n = RAYS[points]
    along = np.linspace(0, HALF, n + 1)[:-1]
    zero, end = np.zeros(n), np.full(n, HALF)
    wall = np.concatenate([[along, zero], [end, along], [HALF - along, end], [zero, HALF - along]], axis=1)
    circle = CENTER + RADIUS * (wall - CENTER) / np.linalg.norm(wall - CENTER, axis=0)
    share = np.linspace(0, 1, n + 1)[:, None]
    places = np.stack([(1 - share) * circle[k] + share * wall[k] for k in (0, 1)]).reshape(2, -1)
    ring, ray = np.meshgrid(np.arange(n), np.arange(4 * n), indexing="ij")
    a, b = ring * 4 * n + ray, ring * 4 * n + (ray + 1) % (4 * n)
    quads = np.stack([a, b, b + 4 * n, a + 4 * n]).reshape(4, -1)
    mesh = skfem.MeshTri(places, np.concatenate([quads[[0, 1, 2]], quads[[0, 2, 3]]], axis=1))
    basis = skfem.Basis(mesh, skfem.ElementTriP1())
    outer = basis.get_dofs(lambda x: np.isclose(x, HALF).any(axis=0)).flatten()
    inner = np.arange(4 * n)
    values = np.zeros(mesh.p.shape[1])
    values[outer] = 1.0
    values = skfem.solve(*skfem.condense(laplace.assemble(basis), x=values, D=np.concatenate([outer, inner])))
    return distance(values, laplace_holes.exact(*mesh.p))


MEASURED = {"Allen-Cahn": kink, "Schroedinger": solitons, "Laplace, holes": elements}


def run(reference, points):
    """The relative error of one of the three."""
    return {"error": MEASURED[reference](points)}


def error(results, reference, points):
    """Of one reference with so many points."""
    return results.where(reference=reference, points=points)["error"][0]


CLAIMS = [
    Claim(
        "kink",
        "512 points for the Allen-Cahn equation have a relative error between 5e-6 and 3e-5, and twice as many a quarter of it, "
        "to a fifth.",
        lambda results: (
            5e-6 < error(results, "Allen-Cahn", 512) < 3e-5
            and abs(error(results, "Allen-Cahn", 512) / error(results, "Allen-Cahn", 1024) / 4 - 1) < 0.2
        ),
        row="R43",
    ),
    Claim(
        "two-solitons",
        "The two-soliton formula differs from the periodic problem by 6.5e-3 to 7.5e-3, with 1024 modes as with 2048.",
        lambda results: all(6.5e-3 < error(results, "Schroedinger", n) < 7.5e-3 for n in (1024, 2048)),
        row="R43",
    ),
    Claim(
        "elements",
        "About 1,000 points of linear elements have an error between 3e-4 and 5e-3 on the square with four holes, fifteen "
        "times as many between 1e-5 and 5e-4.",
        lambda results: (
            3e-4 < error(results, "Laplace, holes", 1_000) < 5e-3 and 1e-5 < error(results, "Laplace, holes", 15_000) < 5e-4
        ),
        row="R43",
    ),
]

study = Study(
    run,
    grid=[
        *({"reference": "Allen-Cahn", "points": n} for n in (512, 1024)),
        *({"reference": "Schroedinger", "points": n} for n in (1024, 2048)),
        *({"reference": "Laplace, holes", "points": n} for n in RAYS),
    ],
    claims=CLAIMS,
    cheap={"reference": "Laplace, holes", "points": 1_000},
    agree={"error": 1e-6},
)
