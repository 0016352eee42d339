`timescale 1 ns / 1 ps
// One cell of SIDE x SIDE towers: sum of their words, shifted right, saturated to the network's input word.
// With STAGES = 2 the sums of the rows are registered; with 1 nothing is.
module @TOP@_cell #(
    parameter integer SIDE = 4,
    // Bits of a tower's word, by which the sum is shifted, of the input word.
    parameter integer BITS = 1,
    parameter integer SHIFT = 0,
    parameter integer WORD = 5,
    parameter integer STAGES = 1
) (
    input clk,
    input [SIDE * SIDE * BITS - 1:0] towers,
    output [WORD - 1:0] word
);
    // The narrowest words that hold SIDE towers and all of them.
    localparam ROW = $clog2(SIDE * ((1 << BITS) - 1) + 1);
    localparam TOTAL = $clog2(SIDE * SIDE * ((1 << BITS) - 1) + 1);
    reg [TOTAL - 1:0] total;
    integer i;

    generate
        if (STAGES == 1) begin : at_once
            wire unused = clk;
            always @* begin
                total = {TOTAL{1'b0}};
                for (i = 0; i < SIDE * SIDE; i = i + 1)
                    total = total + {{(TOTAL - BITS){1'b0}}, towers[i * BITS +: BITS]};
            end
        end else begin : by_rows
            reg [SIDE * ROW - 1:0] rows, registered;
            reg [ROW - 1:0] row;
            integer r, j;
            always @* begin
                for (r = 0; r < SIDE; r = r + 1) begin
                    row = {ROW{1'b0}};
                    for (j = 0; j < SIDE; j = j + 1)
                        row = row + {{(ROW - BITS){1'b0}}, towers[(r * SIDE + j) * BITS +: BITS]};
                    rows[r * ROW +: ROW] = row;
                end
            end
            always @(posedge clk) registered <= rows;
            always @* begin
                total = {TOTAL{1'b0}};
                for (i = 0; i < SIDE; i = i + 1)
                    total = total + {{(TOTAL - ROW){1'b0}}, registered[i * ROW +: ROW]};
            end
        end
        if (TOTAL - SHIFT > WORD) begin : saturated
            assign word = |total[TOTAL - 1:SHIFT + WORD] ? {WORD{1'b1}} : total[SHIFT + WORD - 1:SHIFT];
        end else begin : held
            assign word = {{(WORD + SHIFT - TOTAL){1'b0}}, total[TOTAL - 1:SHIFT]};
        end
    endgenerate
endmodule
