"""Files in the layout of the published models, written from a model of small sizes without the code that reads them.

`write_tflite` converts a TensorFlow function of our own with the published names; `write_checkpoint` writes variables
under the paths of the published checkpoints. `Twist` says what is to be wrong.
"""

import contextlib
import dataclasses
import warnings
from dataclasses import dataclass

import flatbuffers
import numpy as np
import tensorflow as tf
from flatbuffers import flexbuffers

from codae_l1.models.codae.codvae import CoDVAE
from codae_l1.models.codae.config import CategoricalConfig, CoDAEConfig
from codae_l1.models.codae.model import CoDAE

# Published groups and blocks in all levels, few channels.
SMALL = CoDAEConfig(
    f_m_filters=(4, 4, 6, 6),
    f_m_groups=(1, 2, 2, 2),
    f_r_filters=(4, 8, 8, 8),
    f_r_groups=(1, 4, 4, 4),
    decoder_filters=(8, 8, 8, 4),
    decoder_groups=(1, 4, 4, 4),
    latent_channels=3,
)
SMALL_CODVAE = dataclasses.replace(SMALL, categorical=CategoricalConfig(components=2, samples=3))
PARTS = {"f_m": "encoder2.tflite", "f_r": "encoder1.tflite", "decoder": "decoder.tflite"}
SCOPES = {"f_m": "Mask-Encoder", "f_r": "Res-Encoder", "decoder": "Res-Decoder"}


@dataclass(frozen=True)
class Twist:
    """How a TF-Lite file differs from the published layout."""

    slope: float = 0.2
    epsilon: float = 1e-3
    window: int = 3
    half_pixel: bool = True
    columns_first: bool = True
    crop: tuple[int, int] = (4, 3)
    levels: int = 4
    stride: int = 2
    activation_last: bool = False
    extra: bool = False
    axes: tuple[int, ...] = (1, 2)


def random_model(config: CoDAEConfig, seed: int = 3) -> CoDAE:
    """A model in which no weight is what it starts from: norms, biases and all; weights fit float16."""
    model = CoDAE(config, seed) if config.categorical is None else CoDVAE(config, seed, known_prior=False)
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        scaled = 0.3 * rng.normal(size=variable.shape) + (1 if variable.name == "scale" else 0)
        variable.assign(scaled.astype(np.float16).astype(np.float32))
    return model


def write_all(model: CoDAE, folder, twist: Twist | None = None):
    """The three files of a model, in an order that is not that of the parts."""
    return [write_tflite(model, part, folder / PARTS[part], twist) for part in ("decoder", "f_m", "f_r")]


def write_tflite(model: CoDAE, part: str, path, twist: Twist | None = None):
    """Convert one part to a TF-Lite file with float16 weights; gives its path."""
    functions = {"f_m": _f_m, "f_r": _f_r, "decoder": _decoder}
    latent = tf.TensorSpec((None, 5, 4, model.config.latent_channels), tf.float32, "energy_latents")
    inputs = [latent, tf.TensorSpec((None, 2), tf.float32, "mask_latents")]
    if part != "decoder":
        inputs = [tf.TensorSpec((None, 72, 58, 1), tf.float32, "image")]
    build = functions[part](_Layers(model, part, twist or Twist()))

    @tf.function(input_signature=inputs)
    def run(*arrays):
        with tf.name_scope(SCOPES[part]):
            return build(*arrays)

    with _quiet():
        converter = tf.lite.TFLiteConverter.from_concrete_functions([run.get_concrete_function()])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
        path.write_bytes(converter.convert())
    return path


@contextlib.contextmanager
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _values(layer) -> list[np.ndarray]:
    """The weights of a layer, as constants of the function that is being traced."""
    with tf.init_scope():
        return layer.get_weights()


class _Layers:
    """The layers of one part as TensorFlow operations under the published names."""

    def __init__(self, model: CoDAE, part: str, twist: Twist):
        self.config, self.twist, self.part, self.of = model.config, twist, part, getattr(model, part)

    def block(self, x, layer, name: str, strides: int = 1):
        """Convolution, norm, leaky ReLU; the decoder's levels are upsampled first."""
        with tf.name_scope(name):
            if name.startswith("up_conv"):
                sizes = [2 * size for size in x.shape[1:3]]
                x = tf.compat.v1.image.resize_bilinear(x, sizes, half_pixel_centers=self.twist.half_pixel)
            x = self.convolution(x, layer.convolution, strides)
            mean = tf.reduce_mean(x, self.twist.axes, keepdims=True)
            variance = tf.reduce_mean(tf.math.squared_difference(x, mean), self.twist.axes, keepdims=True)
            scale, shift = (np.reshape(w, (1, 1, 1, -1)) for w in _values(layer.norm))
            x = tf.nn.batch_normalization(x, mean, variance, shift, scale, self.twist.epsilon)
            return tf.nn.leaky_relu(x, self.twist.slope)

    def convolution(self, x, layer, strides: int = 1):
        kernel, bias = _values(layer)
        x = tf.nn.conv2d(x, kernel, strides, "SAME")
        return tf.nn.bias_add(x, bias)

    def residual(self, x, level: int):
        layer = self.of.get_layer(f"residual{level}_0")
        y = self.block(x, layer.first, f"conv1-b{level}_0")
        x = x + self.block(y, layer.second, f"conv2-b{level}_0")
        return tf.nn.leaky_relu(x, self.twist.slope) if self.twist.activation_last else x


def _f_m(make: _Layers):
    def build(x):
        for level in range(make.twist.levels):
            x = make.block(x, make.of.get_layer(f"level{level}"), f"conv-b{level}")
            x = tf.nn.max_pool2d(x, make.twist.window, 2, "SAME", name=f"max_pool-b{level}")
        kernel, bias = _values(make.of.get_layer("z_m"))
        size = int(np.prod(x.shape[1:]))
        z = tf.matmul(tf.reshape(x, (-1, size)), np.resize(kernel, (size, 2))) + bias
        return (z + tf.reduce_sum(x) * np.arange(1, 3, dtype=np.float32)) if make.twist.extra else z

    return build


def _f_r(make: _Layers):
    def build(x):
        for level in range(4):
            stride = make.twist.stride
            x = make.block(x, make.of.get_layer(f"level{level}"), f"dconv-b{level}", stride)
            x = make.residual(x, level)
        if make.config.categorical is None:
            return make.convolution(x, make.of.get_layer("z_r"))
        with tf.name_scope("logits"):
            logits = make.convolution(x, make.of.get_layer("z_r"))
        with tf.name_scope("temperature"):
            argument = make.convolution(x, make.of.get_layer("softplus"))
            # As older converters wrote a softplus.
            tau = 1.0 + tf.math.log(tf.exp(argument) + 1.0)
        return tf.nn.softmax(logits / tau), tau

    return build


def _decoder(make: _Layers):
    def build(x, z):
        n = tf.shape(z)[0]
        for level in range(4):
            height, width = x.shape[1:3]
            column, row = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
            grids = [np.float32(g).reshape(1, height, width, 1) for g in (column, row)]
            grids = grids if make.twist.columns_first else grids[::-1]
            with tf.name_scope(f"conditioning-b{level}"):
                copies = tf.tile(tf.reshape(z, (n, 1, 1, 2)), (1, height, width, 1))
                joined = tf.concat([copies, *(tf.tile(grid, (n, 1, 1, 1)) for grid in grids)], -1)
                x = x * make.convolution(joined, make.of.get_layer(f"conditioning{level}").field)
            x = make.block(x, make.of.get_layer(f"level{level}").layer, f"up_conv-b{level}")
            x = make.residual(x, level)
        x = tf.slice(x, (0, *make.twist.crop, 0), tf.stack([tf.shape(x)[0], 72, 58, x.shape[-1]]))
        return tf.sigmoid(make.convolution(x, make.of.get_layer("logits")))

    return build


def as_older_converter(path):
    """Rewrite the grouped convolutions as FlexConv2D with its bias behind it, as TensorFlow 2.9 wrote them."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    (graph,) = model.subgraphs
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version, code.customCode = 32, 32, 1, "FlexConv2D"
    model.operatorCodes.append(code)
    adds = _code_of(model, schema.BuiltinOperator.ADD)
    stored = {int(op.outputs[0]): int(op.inputs[0]) for op in graph.operators if op.opcodeIndex == _code_of(model, 6)}
    for op in list(graph.operators):
        kernel = int(op.inputs[1]) if len(op.inputs) > 1 else -1
        grouped = op.opcodeIndex == _code_of(model, schema.BuiltinOperator.CONV_2D)
        grouped = grouped and graph.tensors[int(op.inputs[0])].shape[-1] != graph.tensors[kernel].shape[-1]
        if not grouped:
            continue
        shape = [int(size) for size in graph.tensors[kernel].shape]
        buffer = model.buffers[graph.tensors[stored[kernel]].buffer]
        values = np.frombuffer(bytes(buffer.data), np.float16).reshape(shape).transpose(1, 2, 3, 0)
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        for tensor in (kernel, stored[kernel]):
            graph.tensors[tensor].shape = np.array(values.shape, np.int32)
        node = tf.compat.v1.NodeDef(op="Conv2D")
        node.attr["strides"].list.i.extend([1, op.builtinOptions.strideH, op.builtinOptions.strideW, 1])
        node.attr["dilations"].list.i.extend([1, 1, 1, 1])
        node.attr["padding"].s, node.attr["data_format"].s = b"SAME", b"NHWC"
        inner, made = schema.TensorT(), int(op.outputs[0])
        inner.name, inner.shape = (
            f"{graph.tensors[made].name.decode().split('BiasAdd')[0]}Conv2D",
            graph.tensors[made].shape,
        )
        graph.tensors.append(inner)
        add = schema.OperatorT()
        add.opcodeIndex, add.inputs, add.outputs = adds, [len(graph.tensors) - 1, int(op.inputs[2])], [made]
        add.builtinOptionsType, add.builtinOptions = schema.BuiltinOptions.AddOptions, schema.AddOptionsT()
        op.inputs, op.outputs = [int(op.inputs[0]), kernel], [len(graph.tensors) - 1]
        op.opcodeIndex, op.builtinOptions = len(model.operatorCodes) - 1, None
        op.builtinOptionsType, op.customOptions = 0, np.frombuffer(_flex(node), np.uint8)
        graph.operators.insert(graph.operators.index(op) + 1, add)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))


def _code_of(model, builtin: int) -> int:
    return next(i for i, code in enumerate(model.operatorCodes) if code.builtinCode == builtin)


def _flex(node) -> bytes:
    builder = flexbuffers.Builder()
    with builder.Vector():
        builder.String("Conv2D")
        builder.String(node.SerializeToString().decode("latin-1"))
    return bytes(builder.Finish())


def checkpoint_variables(model: CoDAE) -> dict[str, np.ndarray]:
    """Path -> values, as a published checkpoint has them, with some of what it holds beside the weights."""
    vae = model.config.categorical is not None
    found = {"optimizer/iter": np.int64(7), "trackers/mse/total": np.float32(3), "save_counter": np.int64(1)}
    if vae:
        found["prior/_components_distribution/_distribution/_logits"] = np.zeros((5, 4, 2, 3), np.float32)
    names = {"f_m": ("encoder2", "mask_encoder"), "f_r": ("encoder1", "energy_encoder"), "decoder": ("decoder",) * 2}
    for part, name in names.items():
        of, layers = getattr(model, part), []
        for level in range(4):
            if part == "decoder":
                layers.append({"expand": of.get_layer(f"conditioning{level}").field})
            first = of.get_layer(f"level{level}")
            blocks = [first.layer if part == "decoder" else first]
            if part != "f_m":
                residual = of.get_layer(f"residual{level}_0")
                blocks += [residual.first, residual.second]
            layers += [{"conv": block.convolution, "norm": block.norm} for block in blocks]
        heads = {"f_m": ["z_m"], "decoder": ["logits"], "f_r": ["softplus", "z_r"] if vae else ["z_r"]}[part]
        layers += [{"": of.get_layer(head)} for head in heads]
        for number, kinds in enumerate(layers):
            for kind, layer in kinds.items():
                roles = ("gamma", "beta") if kind == "norm" else ("kernel", "bias")
                at = f"{name[vae]}/layer_with_weights-{number}" + (f"/{kind}" if kind else "")
                found |= {f"{at}/{role}": w for role, w in zip(roles, layer.get_weights(), strict=True)}
    slot = next(key for key in found if key.endswith("kernel"))
    return found | {f"{slot}/.OPTIMIZER_SLOT/optimizer/m": np.zeros(2, np.float32)}


def write_checkpoint(variables: dict[str, np.ndarray], prefix):
    """A checkpoint of some variables; gives its .index file."""
    names = [f"{name}/.ATTRIBUTES/VARIABLE_VALUE" for name in variables]
    names.append("_CHECKPOINTABLE_OBJECT_GRAPH")
    tensors = [tf.constant(value) for value in variables.values()] + [tf.constant(b"graph")]
    tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=tensors)
    return prefix.with_name(f"{prefix.name}.index")
