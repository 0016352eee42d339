"""All kinds of input that are tried: name -> class, made with a folder of its own."""

from fault_delphes import Delphes
from fault_formats import Crossings, Objects, OwnEvents, Public, Raw
from fault_run import Arrays, WholeArrays
from fault_tables import Converted, Jets
from fault_weights import Checkpoint, KerasFile, TfLite

KINDS = {
    "events": OwnEvents,
    "crossings": Crossings,
    "public": Public,
    "codae_raw": Raw,
    "delphes": Delphes,
    "top_tagging": Jets,
    "adc2021": Objects,
    "arrays_file": Converted,
    "keras": KerasFile,
    "tflite": TfLite,
    "checkpoint": Checkpoint,
    "arrays": Arrays,
    "arrays_whole": WholeArrays,
}
# Those that compile more than the tests elsewhere have compiled: tests/faults/fuzz.py alone tries them.
SLOW = ("arrays_whole",)
