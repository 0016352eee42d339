"""What hls4ml takes of a configuration, asked of hls4ml itself."""

import functools

from codae_l1.hls.hls4ml.backends import BACKENDS


def known_classes(backend: str) -> set[str]:
    """Names of hls4ml's layer classes that the backend has function templates for, asked of hls4ml itself."""
    import hls4ml
    from hls4ml.backends.template import FunctionCallTemplate
    from hls4ml.model.optimizer import get_backend_passes, get_optimizer

    name = hls4ml.backends.get_backend(backend).name
    # Vitis takes Vivado's.
    passes = [*get_backend_passes(name), *(get_backend_passes("vivado") if name == "vitis" else ())]
    templates = (get_optimizer(one) for one in passes)
    return {cls.__name__ for t in templates if isinstance(t, FunctionCallTemplate) for cls in t.layer_class}


def reuse_taken(backend: str, strategy: str, n_in: int, n_out: int, asked: int) -> int:
    """The reuse factor that hls4ml takes for a matrix product: in resource strategy the nearest that divides it.

    >>> reuse_taken("Vitis", "latency", 9, 12, 5)
    5
    """
    import hls4ml

    if strategy_taken(backend, strategy) != "resource":
        return asked
    return hls4ml.backends.get_backend(backend).get_closest_reuse_factor(valid_reuse(backend, n_in, n_out), asked)


@functools.cache
def valid_reuse(backend: str, n_in: int, n_out: int) -> tuple[int, ...]:
    """The reuse factors that hls4ml takes for a matrix product in resource strategy, the smallest first.

    >>> valid_reuse("Vitis", 9, 2)
    (1, 3, 9, 18)
    """
    import hls4ml

    return tuple(hls4ml.backends.get_backend(backend).get_valid_reuse_factors(n_in, n_out))


def strategy_taken(backend: str, asked: str) -> str:
    """The strategy that hls4ml takes.

    >>> strategy_taken("Catapult", "distributed_arithmetic")
    'latency'
    """
    strategies = BACKENDS[backend].strategies
    return asked if asked in strategies else strategies[0]
