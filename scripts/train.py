"""Stage train: the full model (CoDAE or CoDVAE) on QCD masks, best validation loss kept.

Reads the run's events. Writes train/codae.keras, train/history.json, train.json. docs/training.md says how to choose
the model, and how to train on GPUs and on several machines.
"""

from typing import Any

from codae_l1.scripts import stage


def work(run: Any) -> dict[str, Any]:
    """Train the full model, go on from a checkpoint where there is one."""
    from codae_l1.models.codae import save_codae
    from codae_l1.models.codvae import create_model
    from codae_l1.models.distribution import create_strategy
    from codae_l1.models.scores import codae_scores, orientations, track_mask
    from codae_l1.models.training import train
    from codae_l1.scripts.cli import Progress
    from codae_l1.scripts.dataset import read_split

    config = run.config.training
    strategy = create_strategy(config.distribute)  # before anything runs in TensorFlow
    masks = {split: track_mask(read_split(run, split).images) for split in ("train", "validation")}
    with strategy.scope():
        model = create_model(run.config.model, run.config.seed)
    with Progress("train") as progress:
        history = train(model, masks["train"], masks["validation"], config, run.path("train"), progress, strategy)
    save_codae(model, run.path("train", "codae.keras"))
    scores = codae_scores(model, masks["validation"])
    parts = {name: getattr(model, name) for name in ("f_m", "f_r", "decoder", "prior")}
    parts = {name: part.count_params() for name, part in parts.items() if part is not None}
    return {
        "summary": f"{sum(parts.values()):,} parameters, best validation loss {history['best_validation_loss']:.2f} "
        f"at epoch {history['best_epoch']} of {len(history['loss'])}",
        "parameters": parts,
        "events": {split: len(m) for split, m in masks.items()},
        "history": history,
        "orientation": orientations(scores),
    }


if __name__ == "__main__":
    stage.main("train", work, __doc__)
