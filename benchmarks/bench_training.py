"""A training step of the paper-size CoDAE against the same model of stock Keras layers, in one run.

    python benchmarks/bench_training.py [--batch 4] [--steps 2]

The peer: Conv2D with groups, GroupNormalization of one channel a group, LeakyReLU, UpSampling2D, the grid of the
conditioning copied for each event; AdamW; a Python loop over train_on_batch. Both start from the same weights; their
first losses are printed, too. Prints one JSON object; CPU seconds are of all threads, compilation is not timed.
"""

import argparse
import json
import time
from collections.abc import Callable


def plain_model(model):
    """The stock model with the weights of `model`, and its layers in their order."""
    import keras
    import numpy as np
    from keras import layers, ops

    config, made = model.config, []

    def add(layer, *inputs):
        made.append(layer)
        return layer(*inputs)

    def conv_layer(x, filters, strides=1, groups=1):
        x = add(layers.Conv2D(filters, 3, strides, "same", groups=groups), x)
        x = add(layers.GroupNormalization(-1, epsilon=1e-3), x)
        return layers.LeakyReLU(0.2)(x)

    def residual(x, n):
        for _ in range(n):
            y = conv_layer(x, x.shape[-1], groups=config.residual_groups)
            x = layers.Add()([x, conv_layer(y, x.shape[-1], groups=config.residual_groups)])
        return x

    def conditioning(x, z):
        h, w = x.shape[1:3]
        columns, rows = np.meshgrid(np.linspace(-1, 1, w), np.linspace(-1, 1, h))
        where = np.stack([columns, rows], axis=-1).astype("float32")[None]
        copies = layers.Reshape((h, w, 2))(layers.RepeatVector(h * w)(z))
        grid = layers.Concatenate()([copies, ops.ones_like(copies) * where])
        return layers.Multiply()([x, add(layers.Conv2D(x.shape[-1], 3, padding="same"), grid)])

    mask = x = keras.Input((72, 58, 1))
    for filters, groups in zip(config.f_m_filters, config.f_m_groups, strict=True):
        x = layers.MaxPooling2D(3, 2, "same")(conv_layer(x, filters, groups=groups))
    z_m = add(layers.Dense(2), layers.Flatten()(x))
    x = mask
    for filters, groups, n in zip(config.f_r_filters, config.f_r_groups, config.f_r_residuals, strict=True):
        x = residual(conv_layer(x, filters, 2, groups), n)
    x = add(layers.Conv2D(config.latent_channels, 1), x)
    for filters, groups, n in zip(config.decoder_filters, config.decoder_groups, config.decoder_residuals, strict=True):
        x = layers.UpSampling2D(2, interpolation="bilinear")(conditioning(x, z_m))
        x = residual(conv_layer(x, filters, groups=groups), n)
    logits = add(layers.Conv2D(1, 1), layers.Cropping2D((4, 3))(x))
    plain = keras.Model(mask, logits)
    variables = [v for layer in made for v in layer.weights]
    ours = [v for part in (model.f_m, model.f_r, model.decoder) for v in part.weights]
    for variable, source in zip(variables, ours, strict=True):
        variable.assign(source)
    return plain


def measure(step: Callable, steps: int, batch: int) -> dict[str, float]:
    """Milliseconds per event of steps after the first, which compiles."""
    first = float(step())
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(steps):
        last = float(step())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "cpu_ms_per_event": 1e3 * cpu / steps / batch,
        "wall_ms_per_event": 1e3 * wall / steps / batch,
        "first_loss": first,
        "last_loss": last,
    }


def main() -> None:
    import keras
    import numpy as np
    from keras import ops

    from codae_l1.models.codae.config import PAPER
    from codae_l1.models.codae.model import CoDAE
    from codae_l1.models.training.config import TrainingConfig
    from codae_l1.models.training.loop import CLIP_NORM, _create_optimizer, _create_steps
    from codae_l1.scripts.run.folder import stamp

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4, help="events per step")
    parser.add_argument("--steps", type=int, default=2, help="steps that are timed")
    arguments = parser.parse_args()
    n = arguments.batch
    masks = (np.random.default_rng(0).random((n, 72, 58, 1)) < 0.02).astype(np.float32)
    model = CoDAE(PAPER, seed=0)
    plain = plain_model(model)
    config = TrainingConfig()
    optimizer = _create_optimizer(config, model)
    step, _ = _create_steps(model, optimizer, config)
    ours = measure(lambda: step(masks, np.ones(n))["loss"] / n, arguments.steps, n)
    plain.compile(
        keras.optimizers.AdamW(config.learning_rate, weight_decay=config.weight_decay, clipnorm=CLIP_NORM),
        lambda y, logits: ops.sum(keras.losses.binary_crossentropy(y, logits, from_logits=True), axis=(1, 2)),
    )
    peer = measure(lambda: plain.train_on_batch(masks, masks), arguments.steps, n)
    ratios = {name: round(peer[name] / ours[name], 2) for name in ("cpu_ms_per_event", "wall_ms_per_event")}
    result = {"batch": n, "steps": arguments.steps, "ours": ours, "stock_keras": peer, "stock_over_ours": ratios}
    print(json.dumps({**result, "stamp": stamp(0)}, indent=1))


if __name__ == "__main__":
    from codae_l1.scripts.run import cli

    cli.import_tensorflow()
    cli.run(main, resumes=False)
