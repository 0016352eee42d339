`timescale 1 ns / 1 ps
// One row of cells: @SIDE@ rows of @COLUMNS@ towers -> @CELLS@ x @CHANNELS@ input words (@POOLED@).
// Tower (row, column) is element row * @COLUMNS@ + column of @TOWER_BITS@ bits, word (cell, channel) element
// cell * @CHANNELS@ + channel of @WORD_BITS@ bits, the lowest first.
module @TOP@_pool (
    input clk,
    input [@SIDE@ * @COLUMNS@ * @TOWER_BITS@ - 1:0] towers,
    output [@CELLS@ * @CHANNELS@ * @WORD_BITS@ - 1:0] words
);
    localparam SIDE = @SIDE@, COLUMNS = @COLUMNS@, CHANNELS = @CHANNELS@, WORD = @WORD_BITS@;
    // Empty columns on each side.
    localparam MARGIN = @MARGIN@;
    // Of each channel, channel 0 last: bits of its word in a tower, their place, shift of its sums.
    localparam [CHANNELS * 32 - 1:0] WIDTHS = {@WIDTHS@};
    localparam [CHANNELS * 32 - 1:0] OFFSETS = {@OFFSETS@};
    localparam [CHANNELS * 32 - 1:0] SHIFTS = {@SHIFTS@};

    genvar c, k, i, j;
    generate
        for (c = 0; c < @CELLS@; c = c + 1) begin : cells
            for (k = 0; k < CHANNELS; k = k + 1) begin : channels
                localparam integer BITS = WIDTHS[k * 32 +: 32];
                localparam integer OFFSET = OFFSETS[k * 32 +: 32];
                wire [SIDE * SIDE * BITS - 1:0] gathered;
                for (i = 0; i < SIDE; i = i + 1) begin : rows
                    for (j = 0; j < SIDE; j = j + 1) begin : columns
                        if (c * SIDE + j >= MARGIN && c * SIDE + j < MARGIN + COLUMNS) begin : taken
                            assign gathered[(i * SIDE + j) * BITS +: BITS] =
                                towers[(i * COLUMNS + c * SIDE + j - MARGIN) * @TOWER_BITS@ + OFFSET +: BITS];
                        end else begin : padded
                            assign gathered[(i * SIDE + j) * BITS +: BITS] = {BITS{1'b0}};
                        end
                    end
                end
                @TOP@_cell #(
                    .SIDE(SIDE), .BITS(BITS), .SHIFT(SHIFTS[k * 32 +: 32]), .WORD(WORD), .STAGES(@POOL_STAGES@)
                ) sum (.clk(clk), .towers(gathered), .word(words[(c * CHANNELS + k) * WORD +: WORD]));
            end
        end
    endgenerate
endmodule
