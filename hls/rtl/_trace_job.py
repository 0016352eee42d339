"""The trace of a network in a separate process, which imports da4ml as its environment says (NUMBA_DISABLE_JIT).

python -m codae_l1.hls.rtl._trace_job IN OUT : IN holds (Network, HlsConfig), OUT gets what
`codae_l1.hls.rtl.build.trace` gives or the InputError that refused the network, all pickled. Both files belong to the
caller.
"""

import pickle
import sys
from pathlib import Path

from codae_l1.data.base.errors import InputError
from codae_l1.hls.rtl.build import trace_here


def main() -> None:
    """Read the arguments, trace, write whole or not at all."""
    given, made = (Path(argument) for argument in sys.argv[1:])
    network, config = pickle.loads(given.read_bytes())
    try:
        result = trace_here(network, config)
    except InputError as error:
        result = error
    partial = made.with_suffix(".partial")
    partial.write_bytes(pickle.dumps(result))
    partial.replace(made)


if __name__ == "__main__":
    main()
