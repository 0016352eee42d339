// The golden vectors through @TOP@_axis, in frames, with pauses at random on both sides. Run it in this folder:
//   by Icarus: iverilog -g2012 -s @TOP@_axis_tb -o tb *.v static/*.v && vvp tb
//   by Verilator: verilator --binary --timing -Wno-fatal -Istatic --top-module @TOP@_axis_tb @TOP@_axis_tb.v
// Every frame sent has to give one beat, in order: an event its score and accept bits, a frame of another length tuser.
// A beat that is offered must not change until it is taken. Without pauses, no clock may be lost.
`timescale 1 ns / 1 ps

module @TOP@_axis_tb;
    localparam EVENTS = @EVENTS@, SLICES = @SLICES@, BITS = @EVENT_BITS@ / SLICES, MANY = 8 * EVENTS + 1024;

    reg aclk = 0, aresetn = 0, kill = 0;
    reg [(BITS + 7) / 8 * 8 - 1:0] s_axis_tdata = 0;
    reg s_axis_tvalid = 0, s_axis_tlast = 0, m_axis_tready = 0;
    wire s_axis_tready, m_axis_tvalid, m_axis_tlast, m_axis_tuser;
    wire [@SCORE_FIELD@ + @ACCEPT_FIELD@ - 1:0] m_axis_tdata;
    wire [31:0] version;
    wire [255:0] checksum;

    reg [BITS - 1:0] slices [0:EVENTS * SLICES - 1];
    reg [@SCORE_BITS@ - 1:0] scores [0:EVENTS - 1];
    reg [@POINTS@ - 1:0] accepts [0:EVENTS - 1];
    reg [287:0] identity [0:0];
    // Event of each frame sent, -1 for one of another length; frames sent and answered.
    integer frames [0:MANY - 1];
    integer sent = 0, answered = 0, clocks = 0, failed = 0, seed = @SEED@;
    // How many eighths of the clocks each side pauses.
    integer source_pauses = 0, sink_pauses = 0;
    // Whether accept bits have to be 0; the beat that was offered and not taken.
    reg killed = 0, held = 0, was_taken, was_user;
    reg [@SCORE_FIELD@ + @ACCEPT_FIELD@ - 1:0] was_data;
    integer e, i, length, begun;

    @TOP@_axis dut (
        .aclk(aclk), .aresetn(aresetn), .kill(kill), .s_axis_tdata(s_axis_tdata), .s_axis_tvalid(s_axis_tvalid),
        .s_axis_tlast(s_axis_tlast), .s_axis_tready(s_axis_tready), .m_axis_tdata(m_axis_tdata),
        .m_axis_tvalid(m_axis_tvalid), .m_axis_tlast(m_axis_tlast), .m_axis_tuser(m_axis_tuser),
        .m_axis_tready(m_axis_tready), .version(version), .checksum(checksum)
    );

    task wrong(input integer what);
        begin
            failed = failed + 1;
            if (failed == 1)
                $display("clock %0d, frame %0d of %0d: fault %0d, user %b, data %h", clocks, answered, sent, what,
                    m_axis_tuser, m_axis_tdata);
        end
    endtask

    // What is on the output before an edge: fault 1 a beat changed or withdrawn, 2 none was sent, 3 to 6 its fields.
    task look;
        begin
            if (held && (!m_axis_tvalid || m_axis_tdata !== was_data || m_axis_tuser !== was_user)) wrong(1);
            held = m_axis_tvalid && !m_axis_tready;
            was_data = m_axis_tdata;
            was_user = m_axis_tuser;
            if (m_axis_tvalid && m_axis_tready) begin
                if (answered == sent) wrong(2);
                else begin
                    e = frames[answered];
                    if (m_axis_tlast !== 1) wrong(3);
                    if (m_axis_tuser !== (e < 0)) wrong(4);
                    if (e >= 0 && m_axis_tdata[@SCORE_FIELD@ - 1:0] !== {
                        {(@SCORE_FIELD@ - @SCORE_BITS@){scores[e][@SCORE_BITS@ - 1]}}, scores[e]
                    }) wrong(5);
                    if (m_axis_tdata[@SCORE_FIELD@ +: @ACCEPT_FIELD@] !== (e < 0 || killed ? 0 : accepts[e])) wrong(6);
                end
                answered = answered + 1;
            end
        end
    endtask

    task tick;
        begin
            m_axis_tready = $unsigned($random(seed)) % 8 >= sink_pauses;
            #@HALF@ look;
            was_taken = s_axis_tvalid && s_axis_tready;
            aclk = 1;
            #@HALF@ aclk = 0;
            clocks = clocks + 1;
            if (clocks == 16 * (EVENTS + 64) * (SLICES + @LATENCY@)) begin
                $display("FAIL: nothing is taken any more, after %0d faults", failed);
                $fatal(1);
            end
        end
    endtask

    // A frame: an event's slices, or beats of any number that is not SLICES.
    task send(input integer number, input integer event_number);
        for (i = 0; i < number; i = i + 1) begin
            while ($unsigned($random(seed)) % 8 < source_pauses) begin
                s_axis_tvalid = 0;
                s_axis_tlast = $random(seed);
                s_axis_tdata = ~slices[$unsigned($random(seed)) % (EVENTS * SLICES)];
                tick;
            end
            s_axis_tvalid = 1;
            s_axis_tlast = i == number - 1;
            s_axis_tdata = slices[event_number < 0 ? $unsigned($random(seed)) % (EVENTS * SLICES) :
                event_number * SLICES + i];
            if (s_axis_tlast) frames[sent] = event_number;
            if (s_axis_tlast) sent = sent + 1;
            tick;
            while (!was_taken) tick;
            s_axis_tvalid = 0;
        end
    endtask

    // Events to a sink that stands still, until no more is taken: no more than can be kept.
    task fill;
        begin
            sink_pauses = 8;
            begun = sent;
            was_taken = 1;
            for (length = 0; was_taken && sent - begun <= 2 * (@LATENCY@ + 3); length = length + was_taken) begin
                s_axis_tvalid = 1;
                s_axis_tlast = length % SLICES == SLICES - 1;
                s_axis_tdata = slices[length % (EVENTS * SLICES)];
                if (s_axis_tready && s_axis_tlast) frames[sent] = length / SLICES % EVENTS;
                if (s_axis_tready && s_axis_tlast) sent = sent + 1;
                tick;
            end
            s_axis_tvalid = 0;
            repeat (@LATENCY@ + 8) tick;
            if (was_taken || s_axis_tready) wrong(11);
        end
    endtask

    // All answers, at most so many clocks later.
    task drain;
        begin
            sink_pauses = 0;
            for (i = 0; i < 1000 && answered < sent; i = i + 1) tick;
            if (answered != sent) wrong(7);
            repeat (4) tick;
        end
    endtask

    // No pauses: a beat each clock, none refused.
    task stream;
        begin
            begun = clocks;
            for (length = 0; length < EVENTS; length = length + 1) send(SLICES, length);
            if (clocks - begun != EVENTS * SLICES) wrong(10);
            drain;
        end
    endtask

    task reset;
        begin
            aresetn = 0;
            tick;
            s_axis_tvalid = 0;
            aresetn = 1;
            held = 0;
            answered = sent;
            sink_pauses = 0;
            repeat (4 * @LATENCY@ + 16) tick;
            stream;
        end
    endtask

    initial begin
        $readmemh("../vectors/towers.hex", slices);
        $readmemh("../vectors/scores.hex", scores);
        $readmemh("../vectors/accept.hex", accepts);
        $readmemh("../vectors/identity.hex", identity);
        repeat (3) tick;
        if (s_axis_tready !== 0 || m_axis_tvalid !== 0) wrong(8);
        aresetn = 1;
        if ({version, checksum} !== identity[0]) wrong(9);
        stream;
        // One alone: its answer is offered @LATENCY@ + 2 edges after the one that takes its last beat.
        send(SLICES, 0);
        begun = clocks;
        while (answered != sent) tick;
        if (clocks - begun != @LATENCY@ + 3) wrong(12);
        // Pauses here, there, on both sides; frames of other lengths, each followed by an event.
        for (length = 0; length < 3 * EVENTS; length = length + 1) begin
            source_pauses = length < EVENTS ? 5 : length % 8 == 0 ? 0 : 3;
            sink_pauses = length < EVENTS ? 0 : length % 64 < 32 ? 6 : 2;
            send(SLICES, length % EVENTS);
        end
        source_pauses = 1;
        for (length = 1; length < 3 * SLICES + 5; length = length + 1) if (length != SLICES) begin
            sink_pauses = length % 4;
            send(length, -1);
            send(SLICES, length % EVENTS);
        end
        source_pauses = 0;
        drain;
        // The kill switch: of what waits, only the beat that is offered keeps its bits.
        fill;
        kill = 1;
        repeat (3) tick;
        sink_pauses = 0;
        tick;
        killed = 1;
        drain;
        // What the pipeline gave under the kill switch stays without accept bits.
        fill;
        kill = 0;
        repeat (3) tick;
        drain;
        killed = 0;
        // A reset forgets results that wait and a frame that was begun; then events on their way.
        fill;
        sink_pauses = 0;
        repeat (2) tick;
        sink_pauses = 8;
        if (SLICES > 1) begin
            s_axis_tlast = 0;
            s_axis_tvalid = 1;
            repeat (2) tick;
        end
        reset;
        for (length = 0; length < SLICES + 1; length = length + 1) send(SLICES, 0);
        reset;
        $display("%0s: %0d faults, %0d frames in %0d clocks", failed == 0 ? "PASS" : "FAIL", failed, sent, clocks);
        if (failed != 0) $fatal(1);
        $finish;
    end
endmodule
