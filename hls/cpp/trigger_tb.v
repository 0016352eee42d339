// The golden vectors through @TOP@_trigger, clock by clock. Run it in this folder, with any Verilog simulator:
//   by Icarus: iverilog -g2012 -s @TOP@_trigger_tb -o tb *.v static/*.v && vvp tb
//   by Verilator: verilator --binary --timing -Wno-fatal -Istatic --top-module @TOP@_trigger_tb @TOP@_trigger_tb.v
// Every clock is checked: out_valid is high @LATENCY@ edges after the one that takes an event's last slice and at no
// other time; then score and accept are the event's, else accept is 0.
`timescale 1 ns / 1 ps

module @TOP@_trigger_tb;
    localparam EVENTS = @EVENTS@, SLICES = @SLICES@, LATENCY = @LATENCY@;

    reg clk = 0, rst = 0, kill = 0, in_start = 0, in_valid = 0;
    reg [@EVENT_BITS@ / SLICES - 1:0] towers = 0;
    wire out_valid;
    wire [@SCORE_BITS@ - 1:0] score;
    wire [@POINTS@ - 1:0] accept;
    wire [31:0] version;
    wire [255:0] checksum;

    reg [@EVENT_BITS@ / SLICES - 1:0] slices [0:EVENTS * SLICES - 1];
    reg [@SCORE_BITS@ - 1:0] scores [0:EVENTS - 1];
    reg [@POINTS@ - 1:0] accepts [0:EVENTS - 1];
    reg [287:0] identity [0:0];
    // Event whose last slice was taken i edges ago, -1 for none.
    integer ended [0:LATENCY];
    integer e, s, i, seen, clocks = 0, failed = 0, seed = @SEED@;
    // An event of which the first slice was sent and not the last.
    reg cut = 0;
    reg killed = 0;

    @TOP@_trigger dut (
        .clk(clk), .rst(rst), .kill(kill), .in_start(in_start), .in_valid(in_valid), .towers(towers),
        .out_valid(out_valid), .score(score), .accept(accept), .version(version), .checksum(checksum)
    );

    // One clock with a start, a slice, a kill; event: the one whose last slice this is.
    task tick(input start, input valid, input killing, input integer ending);
        begin
            in_start = start;
            in_valid = valid;
            kill = killing;
            for (i = LATENCY; i > 0; i = i - 1) ended[i] = ended[i - 1];
            ended[0] = ending;
            #@HALF@ clk = 1;
            #@HALF@ clk = 0;
            clocks = clocks + 1;
            seen = ended[LATENCY];
            if (out_valid !== (seen >= 0) || (seen < 0 && accept !== 0)) wrong(seen);
            else if (seen >= 0) begin
                if (score !== scores[seen] || accept !== (killed ? 0 : accepts[seen])) wrong(seen);
            end
            killed = killing;
        end
    endtask

    task wrong(input integer event_number);
        begin
            failed = failed + 1;
            if (failed == 1)
                $display("clock %0d, event %0d: valid %b, score %h, accept %b", clocks, event_number, out_valid, score,
                    accept);
        end
    endtask

    // Clocks without an event: other towers, starts that are not valid, slices that no start came before.
    task idle(input integer n);
        repeat (n) begin
            towers = ~slices[$unsigned($random(seed)) % (EVENTS * SLICES)];
            if ($random(seed) % 2) tick(0, 1, kill, -1);
            else tick(1, 0, kill, -1);
        end
    endtask

    initial begin
        $readmemh("../vectors/towers.hex", slices);
        $readmemh("../vectors/scores.hex", scores);
        $readmemh("../vectors/accept.hex", accepts);
        $readmemh("../vectors/identity.hex", identity);
        for (i = 0; i <= LATENCY; i = i + 1) ended[i] = -1;
        if ({version, checksum} !== identity[0]) begin
            failed = failed + 1;
            $display("version %h, checksum %h: the vectors are of %h", version, checksum, identity[0]);
        end
        idle(2 * LATENCY);
        // An event every SLICES clocks.
        for (e = 0; e < EVENTS; e = e + 1)
            for (s = 0; s < SLICES; s = s + 1) begin
                towers = slices[e * SLICES + s];
                tick(s == 0, 1, 0, s == SLICES - 1 ? e : -1);
            end
        // Pauses within and between events; events cut short; the kill switch thrown at any time.
        for (e = 0; e < EVENTS; e = e + 1) begin
            if (SLICES > 1 && (e == 0 || $random(seed) % 2))
                // The first lacks its last slice alone.
                for (s = e == 0 ? SLICES - 2 : $unsigned($random(seed)) % (SLICES - 1 + (SLICES == 1)); s >= 0;
                    s = s - 1) begin
                    towers = ~slices[e * SLICES + s];
                    tick(!cut, 1, kill, -1);
                    cut = s > 0;
                end
            for (s = 0; s < SLICES; s = s + 1) begin
                while ($random(seed) % 4 == 0) begin
                    towers = ~slices[e * SLICES + s];
                    tick($random(seed), 0, $random(seed), -1);
                end
                towers = slices[e * SLICES + s];
                tick(s == 0, 1, $random(seed), s == SLICES - 1 ? e : -1);
            end
            if ($random(seed) % 2) idle($unsigned($random(seed)) % 4);
        end
        // A reset forgets events on their way, and slices taken.
        for (s = 0; s < SLICES; s = s + 1) begin
            towers = slices[s];
            tick(s == 0, 1, 0, s == SLICES - 1 ? 0 : -1);
        end
        for (s = 0; s < SLICES - 1 && s < LATENCY - 1; s = s + 1) tick(s == 0, 1, 0, -1);
        rst = 1;
        for (i = 0; i <= LATENCY; i = i + 1) ended[i] = -1;
        tick(1, 1, 0, -1);
        rst = 0;
        idle(2 * LATENCY + SLICES);
        for (e = 0; e < EVENTS && e < 3; e = e + 1)
            for (s = 0; s < SLICES; s = s + 1) begin
                towers = slices[e * SLICES + s];
                tick(s == 0, 1, 0, s == SLICES - 1 ? e : -1);
            end
        idle(2 * LATENCY);
        $display("%0s: %0d of %0d clocks wrong, %0d events", failed == 0 ? "PASS" : "FAIL", failed, clocks,
            2 * EVENTS + (EVENTS < 3 ? EVENTS : 3));
        if (failed != 0) $fatal(1);
        $finish;
    end
endmodule
