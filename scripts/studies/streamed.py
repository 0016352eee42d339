"""Trigger rates of streamed crossings: the study, its config, what it will carry, its results."""

from codae_l1.scripts.studies._streamed import Study, study_configs, study_results
from codae_l1.scripts.studies._streamed_reach import check_menu, predicted_reach, reach_text
from codae_l1.scripts.studies._streamed_words import RunWords, Streamed

__all__ = [
    "RunWords",
    "Streamed",
    "Study",
    "check_menu",
    "predicted_reach",
    "reach_text",
    "study_configs",
    "study_results",
]
