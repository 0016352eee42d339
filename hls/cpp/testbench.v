// The golden vectors through the pipeline, an event every clock. Run it in this folder, with any Verilog simulator:
//   by Icarus: iverilog -g2012 -s @TOP@_tb -o tb *.v static/*.v && vvp tb
//   by Verilator: verilator --binary --timing -Wno-fatal -Istatic --top-module @TOP@_tb @TOP@_tb.v && obj_dir/V@TOP@_tb
`timescale 1 ns / 1 ps

module @TOP@_tb;
    localparam EVENTS = @EVENTS@;
    // Clocks from the edge that takes an event to the edge that gives its word.
    localparam LATENCY = @LATENCY@;

    reg clk = 0;
    reg [@INPUT_BITS@ - 1:0] inputs [0:EVENTS - 1];
    reg [@OUTPUT_BITS@ - 1:0] words [0:EVENTS - 1];
    reg [@INPUT_BITS@ - 1:0] model_inp = 0;
    wire [@OUTPUT_BITS@ - 1:0] model_out;
    integer t;
    integer failed = 0;

    @TOP@_wrapper dut (.clk(clk), .model_inp(model_inp), .model_out(model_out));

    initial begin
        $readmemh("../vectors/inputs.hex", inputs);
        $readmemh("../vectors/words.hex", words);
        for (t = 0; t < EVENTS + LATENCY; t = t + 1) begin
            model_inp = inputs[t < EVENTS ? t : EVENTS - 1];
            #@HALF@ clk = 1;
            #@HALF@ clk = 0;
            if (t >= LATENCY && model_out !== words[t - LATENCY]) begin
                failed = failed + 1;
                if (failed == 1) $display("event %0d: %h, expected %h", t - LATENCY, model_out, words[t - LATENCY]);
            end
        end
        $display("%0s: %0d of %0d events differ", failed == 0 ? "PASS" : "FAIL", failed, EVENTS);
        if (failed != 0) $fatal(1);
        $finish;
    end
endmodule
