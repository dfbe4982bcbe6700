"""A file that grows, is cut, is turned over, and goes on where it was left."""

import os

from projects.ts_anomaly.monitor.sources import Followed, Place


def rows_of(followed, most=1000):
    found = []
    for row in followed.rows(pause=lambda: None):
        if row is None or len(found) >= most:
            break
        found.append(row.values[0])
    return found


def test_a_file_is_followed_as_it_grows_is_cut_and_is_turned_over(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("t,v\n0,1\n1,2\n2,")
    followed = Followed(path, follow=True)
    rows = followed.rows(pause=lambda: None)

    def until_nothing():
        return [row.values[0] for row in iter(lambda: next(rows), None)]

    assert until_nothing() == [1.0, 2.0], "a line without its end waits"
    with path.open("a") as file:
        file.write("3\n3,4\n")
    assert until_nothing() == [3.0, 4.0]
    os.replace(path, tmp_path / "old")
    path.write_text("t,v\n4,5\n")
    assert until_nothing() == [5.0]
    path.write_text("t,v\n")
    assert until_nothing() == []


def test_a_file_goes_on_where_it_was_left(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("t,v\n" + "".join(f"{n},{n}\n" for n in range(10)))
    followed = Followed(path)
    first = [row.values[0] for _, row in zip(range(4), followed.rows(), strict=False)]
    again = Followed(path, Place(*vars(followed.place).values()))
    assert first + rows_of(again) == [float(n) for n in range(10)]
