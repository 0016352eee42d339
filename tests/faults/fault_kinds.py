"""All kinds of input that are tried: name -> class, made with a folder of its own."""

from fault_config import Config
from fault_delphes import Delphes
from fault_formats import Crossings, Objects, OwnEvents, Public, Raw
from fault_run import Arrays, Run, WholeArrays, WholeRun
from fault_tables import Converted, Jets
from fault_weights import Checkpoint, Firmware, FloatFirmware, KerasFile, TfLite

KINDS = {
    "events": OwnEvents,
    "crossings": Crossings,
    "public": Public,
    "codae_raw": Raw,
    "delphes": Delphes,
    "top_tagging": Jets,
    "adc2021": Objects,
    "arrays_file": Converted,
    "config": Config,
    "weights": Firmware,
    "weights_float": FloatFirmware,
    "keras": KerasFile,
    "tflite": TfLite,
    "checkpoint": Checkpoint,
    "run": Run,
    "run_whole": WholeRun,
    "arrays": Arrays,
    "arrays_whole": WholeArrays,
}
# Those that compile more than the tests elsewhere have compiled: tests/faults/fuzz.py alone tries them.
SLOW = ("run_whole", "arrays_whole")
