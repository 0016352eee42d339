"""All kinds of input that are tried: name -> class, made with a folder of its own."""

from fault_delphes import Delphes
from fault_formats import Crossings, Objects, OwnEvents, Public, Raw
from fault_tables import Converted, Jets

KINDS = {
    "events": OwnEvents,
    "crossings": Crossings,
    "public": Public,
    "codae_raw": Raw,
    "delphes": Delphes,
    "top_tagging": Jets,
    "adc2021": Objects,
    "arrays_file": Converted,
}
