"""RTL: the da4ml trace, Verilog and VHDL, and their simulation cycle by cycle."""
