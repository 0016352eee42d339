"""Tables of a design as logic in its source, in the place of memory files.

da4ml 0.5.2 keeps each table in a file that a simulator looks for in its working directory; where there is none,
Verilator warns and goes on with zeros. Here a table is a module <top>_table<n> in src/static/ with its words written
out, so that the sources stand alone. Tables become LUTs: no block RAM, no DSP.
"""

import re
from pathlib import Path

_VERILOG = """`timescale 1ns / 1ps

module {name} (
    input [{high_in}:0] in,
    output [{high_out}:0] out
);

  (* rom_style = "distributed" *)
  reg [{high_out}:0] readout;

  assign out = readout;

  always @(*) begin
    case (in)
{rows}
      default: readout = {bits_out}'b0;
    endcase
  end

endmodule
"""
_VHDL = """library ieee;
use ieee.std_logic_1164.all;

entity {name} is
    port (
        inp : in std_logic_vector({high_in} downto 0);
        outp : out std_logic_vector({high_out} downto 0)
    );
end entity {name};

architecture rtl of {name} is
begin
    with inp select outp <=
{rows}
        (others => '0') when others;
end architecture rtl;
"""
_USES = {
    "verilog": r'lookup_table #\((?P<bits_in>\d+), (?P<bits_out>\d+), "(?P<file>[^"]+)"\)',
    "vhdl": r"entity work\.lookup_table generic map\(BW_IN=>(?P<bits_in>\d+),BW_OUT=>(?P<bits_out>\d+),"
    r'MEM_FILE=>"(?P<file>[^"]+)"\)',
}


def embed_tables(source: Path, top: str, language: str) -> None:
    """Write the tables of `source`/memfiles into modules and let the stages use these; language: verilog or vhdl."""
    files = source / "memfiles"
    suffix = {"verilog": "v", "vhdl": "vhd"}[language]
    # Bits in, bits out and words of a table -> its name.
    found: dict[tuple[int, int, str], str] = {}

    def named(use: re.Match[str]) -> str:
        table = int(use["bits_in"]), int(use["bits_out"]), (files / use["file"]).read_text()
        name = found.setdefault(table, f"{top}_table{len(found)}")
        return f"entity work.{name}" if language == "vhdl" else name

    stages = sorted(source.glob(f"{top}_stage*.{suffix}"), key=lambda path: (len(path.name), path.name))
    for path in stages:
        text = path.read_text()
        changed = re.sub(_USES[language], named, text)
        if changed != text:
            path.write_text(changed)
    for (bits_in, bits_out, words), name in found.items():
        (source / "static" / f"{name}.{suffix}").write_text(_module(name, bits_in, bits_out, words.split(), language))
    for path in files.glob("*.mem"):
        path.unlink()


def _module(name: str, bits_in: int, bits_out: int, words: list[str], language: str) -> str:
    """One table; words: hexadecimal, by the bits of the input."""
    rows = []
    for index, word in enumerate(words):
        if language == "vhdl":
            rows.append(f'        "{int(word, 16):0{bits_out}b}" when "{index:0{bits_in}b}",')
        else:
            rows.append(f"      {bits_in}'d{index}: readout = {bits_out}'h{word};")
    template = _VHDL if language == "vhdl" else _VERILOG
    return template.format(
        name=name, high_in=bits_in - 1, high_out=bits_out - 1, bits_out=bits_out, rows="\n".join(rows)
    )
