"""The player: whole without a kernel, the same bytes each time, small; live it draws again."""

from __future__ import annotations

import base64
import io
import re
from functools import cache

import matplotlib as mpl
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from pinnedu.widgets import explore
from pinnedu.widgets.explorer import LARGEST


def draw(value):
    figure, axes = plt.subplots(figsize=(3, 2))
    axes.plot([0, 1], [0, float(value)])
    axes.set(xticks=[0, 1], ylim=(0, 12), yticks=[0, 12])  # most of the time goes into letters
    return figure


def player(values=(1, 2, 4), **changes):
    return explore(draw, values, **{"label": "slope", "alt": "A line of slope {}.", **changes})


@cache
def page(kind="svg"):
    """The player that most tests look at, drawn once; the second of three values is seen."""
    return player(start=1, caption="Steeper & steeper", kind=kind)._repr_html_()


def images(html):
    return re.findall(r'<img src="data:([^;]+);base64,([^"]+)" alt="([^"]+)" data-shown="([^"]+)"( hidden)?', html)


def test_there_is_a_frame_for_each_value_and_one_is_seen():
    html = page()
    frames = images(html)
    assert [shown for _, _, _, shown, _ in frames] == ["2", "1", "4"], "the first to be seen, then the others"
    assert [alt for _, _, alt, _, _ in frames] == ["A line of slope 2.", "A line of slope 1.", "A line of slope 4."]
    assert [hidden == "" for *_, hidden in frames] == [True, False, False]
    assert len({data for _, data, *_ in frames}) == 3
    assert 'max="2" step="1" value="1" aria-valuetext="2"' in html
    assert "<figcaption>Steeper &amp; steeper</figcaption>" in html


@pytest.mark.parametrize("kind", ["svg", "png"])
@pytest.mark.parametrize("panels", [1, 2])
def test_a_frame_says_where_its_panels_end(kind, panels):
    def side_by_side(value):
        figure, axes = plt.subplots(1, panels, figsize=(6, 2), squeeze=False)
        axes[0, 0].plot([0, float(value)])
        return figure

    image = explore(side_by_side, (1, 2), label="slope", alt="Lines of slope {}.", kind=kind).frames[0].image
    if kind == "png":
        with Image.open(io.BytesIO(image)) as picture:
            ends = [int(end) / picture.width for end in picture.info["panels"].split()]
    else:
        ends = [float(end) for end in re.findall(r"panels: ([\d.]+)<", image.decode())]
    assert ends == ([] if panels == 1 else [pytest.approx(0.5, abs=0.03)])


def test_without_scripts_one_picture_is_left():
    html = re.sub(r"<script.*?</script>", "", page(), flags=re.S)
    assert [shown for *_, shown, _ in images(html)] == ["2"]
    assert "<input" not in html


def test_the_control_has_a_name():
    html = page()
    name = re.search(r'<input type="range" id="([^"]+)"', html).group(1)
    assert f'<label for="{name}">slope</label>' in html
    assert f'<output for="{name}"' in html


def test_each_value_has_a_tick():
    html = page()
    (ticks,) = re.findall(r'list="([^"]+)"', html)
    assert re.search(rf'<datalist id="{ticks}">(<option value="\d"></option>){{3}}</datalist>', html)


def test_a_frame_takes_as_much_room_as_it_was_drawn_for():
    assert html_widths(page("png")) == {"288"}, "3 inches at 96 pixels"


def html_widths(html):
    return set(re.findall(r'style="width: (\d+)px;', html))


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_bytes_are_the_same_each_time(kind):
    assert player((1, 2), kind=kind)._repr_html_() == player((1, 2), kind=kind)._repr_html_()


def test_different_players_have_different_names():
    name = re.compile(r'id="(explorer-[0-9a-f]{8})"')
    assert name.search(page()).group(1) != name.search(player(label="rise")._repr_html_()).group(1)


def test_frames_are_opaque():
    (kind, data, *_), *_ = images(page("png"))
    assert kind == "image/png"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert picture.convert("RGBA").getextrema()[3] == (255, 255)
    svg = base64.b64decode(images(page())[0][1]).decode()
    assert "fill: #ffffff" in svg
    assert "<text" in svg, "letters stay letters, which is small"


def test_nothing_is_left_behind():
    before = mpl.rcParams.copy()
    player()
    assert plt.get_fignums() == []
    assert mpl.rcParams == before


def test_texts_cannot_break_out():
    html = player(label='a "b" <c>', alt='"><script>{}', caption="</figcaption>")._repr_html_()
    assert "&lt;c&gt;" in html
    assert html.count("<script>") == 1
    assert html.count("</figcaption>") == 1


def test_nothing_remote():
    assert not re.search(r"https?:|//[a-z]", re.sub(r"base64,[^\"]+", "", page()))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"values": (1,)}, "at least two values, not 1"),
        ({"start": 3}, "start must number one of the 3 values"),
        ({"kind": "gif"}, "kind must be 'svg' or 'png'"),
        ({"alt": " "}, "alternative text"),
        ({"log": True, "values": (0, 1)}, "log=True needs positive numbers"),
    ],
)
def test_bad_input(changes, says):
    with pytest.raises(ValueError, match=says):
        player(**changes)


def test_what_draws_must_return_its_figure():
    with pytest.raises(ValueError, match="must return the Figure it drew, not NoneType"):
        explore(lambda value: None, (1, 2), label="x", alt="nothing")


def test_a_player_that_is_too_large_is_refused():
    def crowded(value):
        figure, axes = plt.subplots()
        axes.plot([i * value % 7 for i in range(12_000)], "o")
        return figure

    with pytest.raises(ValueError, match=r"would have [\d.]+ MB and may have 1: use fewer frames"):
        explore(crowded, (1.1, 2.2), label="x", alt="dots")
    assert len(player(range(2, 5))._repr_html_()) < LARGEST / 10


@pytest.mark.parametrize(
    ("values", "changes", "between"),
    [((1, 4), {}, 3), ((0.0, 1.0), {}, 0.5), ((0.1, 10.0), {"log": True}, 1.0), (("1", "2"), {}, "2")],
)
def test_live_it_draws_at_any_value(values, changes, between):
    slider, said, picture = player(values, **changes).live().children
    assert slider.value == values[0]
    first = bytes(picture.value)
    slider.value = between
    assert bytes(picture.value) != first
    with Image.open(io.BytesIO(picture.value)) as shown:
        assert shown.size[0] > 100
    assert plt.get_fignums() == []
    assert said.value == ""


def test_live_it_says_what_could_not_be_drawn():
    def not_at_two(value):
        return draw(1 / (2 - value))

    slider, said, picture = explore(not_at_two, (1, 3), label="x", alt="a line").live().children
    before = bytes(picture.value)
    slider.value = 2
    assert said.value == "At 2 nothing was drawn. ZeroDivisionError: division by zero"
    assert bytes(picture.value) == before
    slider.value = 3
    assert said.value == ""


def test_it_says_what_it_is():
    assert repr(player(show="{:.1f}")) == "Explorer(slope: 1.0 to 4.0, 3 frames)"
