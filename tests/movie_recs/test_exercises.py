"""The demo team's answers are right, nobody else's are, and the references agree with the code they are about."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from projects.movie_recs import evaluate
from projects.movie_recs.feedback.policies import inverse_propensity, self_normalised
from projects.movie_recs.recommend.collaborative import ease, neighbours
from shared.course.exercises import sheet_of
from shared.course.exercises.testing import SheetTests

SHEET = sheet_of("movie_recs")
NAMES = {exercise.id: exercise for exercise in SHEET.exercises}


class TestSheet(SheetTests):
    sheet = SHEET
    generic = (0, 1, 0.5, 10)


def solved(name, team="equipo-3"):
    values = NAMES[name].values(team)
    return values, NAMES[name].answer.solve(values)


def two_films(v):
    """Likes with these counts of the first, of the second and of both."""
    first, second, both = int(v["j"]), int(v["k"]), int(v["ambos"])
    rows = [[1, 1]] * both + [[1, 0]] * (first - both) + [[0, 1]] * (second - both)
    return csr_matrix(np.array(rows, float))


def test_ndcg_against_the_measure():
    v, found = solved("ndcg")
    scores = -np.arange(20.0)[None]
    wanted = np.zeros((1, 20))
    wanted[0, [int(v["a"]) - 1, int(v["b"]) - 1]] = 1
    assert found == pytest.approx(evaluate.ndcg(scores, csr_matrix(wanted), csr_matrix((1, 20)))[0])


def test_neighbours_and_ease_against_the_models():
    v, found = solved("coseno")
    assert found == pytest.approx(neighbours(two_films(v), 5, float(v["c"])).weights[0, 1])
    v, found = solved("ease")
    assert found == pytest.approx(ease(two_films(v), float(v["lam"])).weights[0, 1])


def test_diversity_against_the_measure():
    v, found = solved("diversidad")
    k = int(v["k"])
    gram = np.full((k, k), v["c"])
    np.fill_diagonal(gram, 1)
    gram[0, 1] = gram[1, 0] = v["alto"]
    assert found == pytest.approx(1 - (gram.sum() - k) / (k * (k - 1)))


def test_policies_against_the_estimators():
    v, found = solved("ips")
    told = (np.array([1.0, 0, 1]), np.array([v["p"], v["q"], v["r"]]), np.array([v["u"], v["v"], v["w"]]))
    assert found == pytest.approx(inverse_propensity(*told).value)
    assert solved("snips")[1] == pytest.approx(self_normalised(*told).value)
    assert solved("muestra")[1] == pytest.approx(inverse_propensity(*told).effective)
