"""The public face: importing is instant, and every name can be had."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import pinnedu


def test_importing_does_not_import_torch_until_a_torch_name_is_used():
    script = (
        "import sys, pinnedu\n"
        "dir(pinnedu), pinnedu.__version__\n"
        "print(sorted({'torch', 'numpy', 'scipy', 'matplotlib', 'tqdm'} & set(sys.modules)))\n"
        "pinnedu.Box\n"
        "print('torch' in sys.modules, 'matplotlib' in sys.modules)\n"
        "from pinnedu import problems, MLP, Adam, fit\n"
        "print(problems.heat().terms, 'matplotlib' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "[]",
        "True False",
        "('heat', 'initial', 'left', 'right') False",
    ]
    assert done.stderr == ""


@pytest.mark.parametrize("name", pinnedu.__all__)
def test_every_public_name_can_be_had_and_is_documented(name):
    thing = getattr(pinnedu, name)
    if name != "__version__":
        assert (inspect.getdoc(thing) or "").strip()
    if inspect.isclass(thing) or inspect.isfunction(thing):
        assert thing.__name__ == name
        assert thing.__module__.startswith("pinnedu.")


def test_the_face_of_the_design_is_there():
    core = "Box Points On Periodic Observed Problem MLP Normalize PeriodicEmbedding HardConstraint fit Fit"
    assert {*core.split(), "Adam", "LBFGS", "GradientDescent", "problems", "plots"} <= set(pinnedu.__all__)


def test_dir_lists_what_there_is():
    assert set(dir(pinnedu)) == set(pinnedu.__all__)
    assert len(pinnedu.__all__) == len(set(pinnedu.__all__))


def test_an_unknown_name():
    with pytest.raises(AttributeError, match=r"pinnedu has no 'Bax'; it has .*Box.*fit"):
        _ = pinnedu.Bax
    with pytest.raises(ImportError):
        from pinnedu import Bax  # noqa: F401
