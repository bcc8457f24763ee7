"""Devices and precisions."""

from __future__ import annotations

import pytest
import torch

from pinnedu.device import choose


@pytest.fixture
def machine(monkeypatch):
    """Pretend that a machine has some accelerators."""

    def pretend(*, cuda=False, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch, "empty", lambda *size, device: None)  # there is nothing to allocate on

    return pretend


def test_the_defaults_are_what_there_is_and_double_precision(machine):
    machine()
    assert choose() == (torch.device("cpu"), torch.float64)
    machine(cuda=True, mps=True)
    assert choose() == (torch.device("cuda"), torch.float64)


def test_mps_lowers_the_precision_with_one_warning(machine):
    machine(mps=True)
    with pytest.warns(UserWarning, match="MPS has no float64: training runs in float32") as caught:
        assert choose() == (torch.device("mps"), torch.float32)
    assert len(caught) == 1
    assert choose("mps", torch.float32) == (torch.device("mps"), torch.float32)


def test_a_device_that_is_named_is_taken():
    assert choose("cpu", torch.float32) == (torch.device("cpu"), torch.float32)
    assert choose(torch.device("meta")) == (torch.device("meta"), torch.float64)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cpu:cpu"])
def test_a_device_that_is_not_there(device):
    with pytest.raises(ValueError, match=rf"The device '{device}' cannot be used here \(.+\): choose 'cpu' or 'auto'"):
        choose(device)


@pytest.mark.parametrize("dtype", [torch.int64, "float64", float, None])
def test_a_precision_that_is_none(dtype):
    with pytest.raises(ValueError, match=r"dtype must be torch\.float64 or torch\.float32, not"):
        choose("cpu", dtype)
