"""The panel, driven without a browser: what its buttons do, and what a page without a kernel shows."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from matplotlib.figure import Figure

from pinnedu import MLP, Adam, GaussNewton, Points, fit, plots
from pinnedu.widgets import TrainingPanel
from pinnedu.widgets.explorer import to_bytes


@pytest.fixture
def panel(decay):
    made = []

    def make(optimizer=None, **settings):
        settings = {"points": Points(20, 1), "steps": 400, **settings}
        made.append(TrainingPanel(decay, MLP(decay, hidden=(4,)), optimizer or Adam(0.01), **settings))
        return made[-1]

    yield make
    for one in made:
        one._view = {}  # nobody looks any more
        one.reset()


@pytest.fixture
def blank(monkeypatch):
    """Pictures are counted and not drawn: most of what a panel does shows in its buttons and its status."""
    drawn, empty = [], to_bytes(Figure(figsize=(1, 1)), "png", 96)
    monkeypatch.setattr(TrainingPanel, "figure", lambda self: drawn.append(self.taken))
    monkeypatch.setattr("pinnedu.widgets.training.to_bytes", lambda *picture: empty)
    return drawn


def test_start_pause_and_on(panel):
    one = panel(steps=100_000)
    one.start()
    assert not one.wait(0.05), "it runs while the caller does something else"
    one.pause()
    assert one.wait(300)
    paused = one.taken
    assert 0 < paused < 100_000
    time.sleep(0.05)
    assert one.taken == paused, "paused is paused"
    one.start()
    one.wait(0.1)
    one.pause()
    assert one.wait(300)
    assert one.taken > paused


def test_one_step_at_a_time(panel):
    one = panel()
    for step in (1, 2, 3):
        one.step()
        assert one.wait(300)
        assert one.taken == step
        assert one.training
    assert [step for step, _ in one.losses] == [1, 2, 3]


def test_to_the_end_it_is_the_run_of_fit(panel, decay):
    one = panel(steps=60)
    one.start()
    assert one.wait(300)
    assert not one.training
    plain = fit(MLP(decay, hidden=(4,)), decay, optimizer=Adam(0.01), steps=60, points=Points(20, 1), seed=0, progress=False)
    assert one.run.error == plain.error, "watching changes nothing"
    one.start()
    assert not one.training, "a run that has ended does not go on by itself"


def test_reset_begins_again(panel):
    one = panel()
    one.step()
    one.wait(300)
    first = one.losses[0]
    one.reset()
    assert (one.taken, one.losses, one.training) == (0, [], False)
    one.step()
    one.wait(300)
    assert one.losses[0] == first
    one.reset()
    assert not [thread for thread in threading.enumerate() if thread.name == "pinnedu training"]


@pytest.mark.usefixtures("blank")
def test_the_given_model_is_left_alone(decay):
    model = MLP(decay, hidden=(4,))
    before = [weight.clone() for weight in model.parameters()]
    TrainingPanel(decay, model, Adam(0.1), points=Points(20, 1)).record(5, frames=2)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_buttons_and_controls(panel):
    one = panel(steps=30)
    one.live()
    view = one._view
    assert list(view["buttons"]) == ["start", "pause", "step", "reset"]
    assert list(view["controls"]) == ["optimizer", "rate", "width", "points"]
    untrained = bytes(view["picture"].value)
    view["buttons"]["step"].click()
    assert one.wait(300)
    assert one.taken == 1
    assert view["status"].value.startswith("Step 1")
    assert bytes(view["picture"].value) != untrained, "the picture is drawn again"
    for name, value in (("optimizer", "Gauss-Newton"), ("width", 7), ("points", 50)):
        view["controls"][name].value = value
        assert "reset, to begin with the new settings" in view["status"].value
    view["buttons"]["reset"].click()
    assert isinstance(one.optimizer, GaussNewton)
    assert one.model.layers[0].out_features == 7
    assert one.points.interior == 50
    view["buttons"]["start"].click()
    assert one.wait(300)
    assert one.run.error < 1e-4
    assert "steps done" in view["status"].value or "after step" in view["status"].value


@pytest.mark.usefixtures("blank")
def test_the_rate_is_a_control(panel):
    one = panel()
    one.live()
    one._view["controls"]["rate"].value = 0.1
    one.reset()
    assert one.optimizer == Adam(0.1)


@pytest.mark.usefixtures("blank")
@pytest.mark.parametrize("rate", [1e-7, 0.05, 1e9])
def test_any_rate_is_shown_and_a_slider_that_rounds_it_changes_nothing(panel, rate):
    mine = Adam(rate)
    one = panel(mine)
    one.live()
    slider = one._view["controls"]["rate"]
    assert slider.value == pytest.approx(rate)
    slider.value = rate * 1.003  # as the browser does at once, to a multiple of the slider's step
    assert one._view["status"].value == "Step 0: ready."
    one.reset()
    assert one.optimizer is mine


@pytest.mark.usefixtures("blank")
def test_only_buttons_that_would_do_something_can_be_pressed(panel):
    one = panel(steps=100_000)
    one.live()

    def off():
        return [name for name, button in one._view["buttons"].items() if button.disabled]

    assert off() == ["pause"]
    one.start()
    assert not one.wait(0.05)
    assert off() == ["start", "step"]
    one.pause()
    assert one.wait(300)
    assert off() == ["pause"]
    one.reset()
    assert off() == ["pause"]
    one.steps = 3
    one.start()
    assert one.wait(300)
    one._thread.join()
    assert off() == ["start", "pause", "step"]


def test_the_status_moves_while_it_trains_and_the_error_is_drawn(panel, blank, monkeypatch):
    monkeypatch.setattr("pinnedu.widgets.training.PICTURE_SECONDS", 0.0)
    monkeypatch.setattr("pinnedu.widgets.training.SHARE", 0)
    monkeypatch.setattr("pinnedu.widgets.training.STATUS_SECONDS", 0.0)
    one = panel(steps=7)
    one.live()
    said = []
    one._view["status"].observe(lambda change: said.append(change["new"]), names="value")
    one.start()
    assert one.wait(300)
    one._thread.join()
    assert sum("training" in words for words in said) > 3
    assert [step for step, _ in one.errors][:3] == [1, 2, 3]
    assert blank == [0, 1, 2, 3, 4, 5, 6, 7, 7], "a picture at first, with each step and at the end"
    assert one.errors[-1][1] == pytest.approx(one.run.error)


@pytest.mark.usefixtures("blank")
def test_controls_that_nobody_touched_change_nothing(panel):
    mine = Adam(0.01, betas=(0.8, 0.9))
    one = panel(mine)
    one.live()
    one.reset()
    assert one.optimizer is mine


@pytest.mark.usefixtures("blank")
def test_an_error_in_the_thread_is_told(panel):
    one = panel("no optimizer")
    one.live()
    one.start()
    assert one.wait(300)
    assert "ValueError" in one._view["status"].value


@pytest.mark.usefixtures("blank")
def test_a_loss_that_is_no_number_ends_the_run(decay):
    model = MLP(decay, hidden=(4,))
    one = TrainingPanel(decay, model, torch.optim.SGD, points=Points(20, 1))
    one.live()
    with torch.no_grad():
        one.model.layers[0].weight.fill_(float("inf"))
    one.start()
    assert one.wait(300)
    assert not one.training
    assert "Step" in one._view["status"].value


def test_the_page_shows_a_recorded_run_and_how_to_train(panel, monkeypatch):
    one = panel()
    monkeypatch.setattr(plots, "WIDTH", 3.0)
    assert "Nothing is recorded yet" in one._repr_html_()
    html = one.record(40, frames=2)._repr_html_()
    assert html.count("<img") == 2
    assert 'data-shown="1"' in html
    assert 'data-shown="40"' in html
    assert "After 40 steps: a map of u" in html
    assert "live()" in html
    assert html == one.record(40, frames=2)._repr_html_(), "the same bytes each time"


@pytest.mark.usefixtures("blank")
def test_bad_input(decay, panel):
    with pytest.raises(ValueError, match="needs a Problem and a torch.nn.Module, in this order"):
        TrainingPanel(MLP(decay), decay, Adam(0.1))
    with pytest.raises(ValueError, match="steps must be a whole number of at least 1, not 0"):
        panel(steps=0)
    with pytest.raises(ValueError, match="Between 2 and 5 frames can be kept of 5 steps, not 9"):
        panel().record(5, frames=9)
    with pytest.raises(ValueError, match="recorded and cannot be drawn again"):
        panel().record(5, frames=2).recorded.live()
