from elman.train._progress import ProgressLine


def test_the_line_tells_speed_and_time_left():
    line = ProgressLine(120, "tokens")
    line.show(1, 1, 5.0, 320)
    line.show(1, 2, 5.0, 3200)
    text = line.text(1, 21, 4.321, 10.0)
    assert text == "epoch 1 · step 21/120 · loss 4.321 · 320 tokens/s · 0:50 left"


def test_it_is_silent_without_a_terminal(capsys):
    with ProgressLine(3, "rows") as line:
        for step in range(1, 4):
            line.show(1, step, 1.0, 1)
    assert capsys.readouterr() == ("", "")
