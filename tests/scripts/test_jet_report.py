"""Jets as a page: the documented tables, what is expected of them, and single seeds."""

from pathlib import Path

import pytest

from codae_l1.data.base.files import read_json
from codae_l1.scripts import jets
from codae_l1.scripts.reports import jet_report

PAGE = Path(__file__).parents[2] / "docs" / "jets.md"


@pytest.mark.parametrize("name", ["jets", "jets-tops"])
def test_the_documented_tables_are_those_of_the_results_and_as_expected(name):
    content = read_json(PAGE.parent / "results" / f"{name}.json")
    assert jet_report.markdown(content) in PAGE.read_text()
    assert content["checks"] == jets._checks(content) != []
    assert all(check["holds"] for check in content["checks"])


def test_an_expected_auc_that_fails_is_said():
    content = {"train_on": "qcd", "anomaly": "top", "models": {}}
    for title, auc in (("pca-2", 0.9), ("jet_ae", 0.8)):
        content["models"][title] = {"summary": {"mse": {"auc": {"mean": auc}}}}
    assert [check["holds"] for check in jets._checks(content)] == [False]
    del content["models"]["pca-2"]
    [check] = jets._checks(content)
    assert jet_report._check(check) == "- Not checked: jet_ae, mse above pca-2, which was not asked for."


def test_one_seed_is_no_mean_and_none_enters_pca():
    def legend(untrained, seeds):
        return " ".join(jet_report._legend({"x": {"seeds": {k: {"untrained": untrained} for k in range(seeds)}}}))

    assert "standard deviation" not in legend({"mse": {}}, 1)
    assert "WARNING: fewer than 3 seeds" in legend({"mse": {}}, 1)
    assert legend({"mse": {}}, 3).startswith("Mean ± standard deviation of 3 seeds. The brackets")
    assert "WARNING" not in legend({"mse": {}}, 3)
    assert legend({}, 1) == "The brackets give the error from the number of test jets, for the first seed."
