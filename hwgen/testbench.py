"""A self-checking Verilog-2005 test bench for the exported top, and the vectors that it reads."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwgen.axi import AxiTop, tdata_bits, tdata_words

INPUT_FILE, EXPECTED_FILE = "input.hex", "expected.hex"


@dataclass(frozen=True)
class Vectors:
    """Words of ``tdata`` for whole frames: those to send, and those that must come."""

    inputs: tuple[int, ...]
    expected: tuple[int, ...]
    frames: int

    @staticmethod
    def of(top: AxiTop, x: np.ndarray, y: np.ndarray) -> "Vectors":
        """Vectors for ``top`` from frames ``x`` [N, H, W, C] and what they must give ``y`` [N, H, W, C]."""
        inputs = tdata_words(x, top.type_in, top.lanes_in)
        expected = tdata_words(y, top.type_out, top.lanes_out)
        sizes = len(inputs), len(expected)
        wanted = len(x) * top.frame_beats_in, len(x) * top.frame_beats_out
        if sizes != wanted:
            raise ValueError(f"{len(x)} frames are {wanted} beats in and out, the arrays give {sizes}")
        return Vectors(tuple(inputs), tuple(expected), len(x))

    def files(self, top: AxiTop) -> dict[str, str]:
        """The texts of ``input.hex`` and ``expected.hex``: a word in each line."""
        return {
            INPUT_FILE: hex_lines(self.inputs, tdata_bits(top.type_in, top.lanes_in)),
            EXPECTED_FILE: hex_lines(self.expected, tdata_bits(top.type_out, top.lanes_out)),
        }


def hex_lines(words: Sequence[int], bits: int) -> str:
    """Text for ``$readmemh``."""
    return "".join(f"{word:0{bits // 4}x}\n" for word in words)


def verilog_testbench(
    name: str, top: AxiTop, frames: int, *, cycles: int = 0, latency: int = 0, timeout: int = 1_000_000
) -> str:
    """The text of module ``<name>_tb``: sends ``input.hex`` to module ``name`` and compares with ``expected.hex``.

    Run it in the folder with the two files: at full speed as it is, and with both ends pausing at random with the
    plusarg ``+stall=SEED`` (or parameter ``STALL``). It checks every word, the place of every ``tlast``, that an offer
    stays until it is taken, and ``frame_error``. At full speed it also checks the ``cycles`` from the end of a frame
    to that of the next (the last two of at least three frames) and the ``latency`` from the first beat sent to the
    first received, where these are not 0. It ends with a line that begins with ``PASS`` or ``FAIL``, after
    ``timeout`` cycles at the latest.
    """
    values = {
        "NAME": name,
        "BITS_IN": tdata_bits(top.type_in, top.lanes_in),
        "BITS_OUT": tdata_bits(top.type_out, top.lanes_out),
        "BEATS_IN": top.frame_beats_in,
        "BEATS_OUT": top.frame_beats_out,
        "FRAMES": frames,
        "CYCLES": cycles,
        "LATENCY": latency,
        "TIMEOUT": timeout,
        "INPUT_FILE": INPUT_FILE,
        "EXPECTED_FILE": EXPECTED_FILE,
    }
    text = _TEXT
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    return text


_TEXT = """\
// Self-checking test bench of @NAME@. Reads @INPUT_FILE@ and @EXPECTED_FILE@ in the current folder.
// Run with:  iverilog -g2005 -o @NAME@_tb.vvp @NAME@_tb.v @NAME@.v && vvp @NAME@_tb.vvp [+stall=1]
// or:        verilator --binary --timing --top @NAME@_tb @NAME@_tb.v @NAME@.v && obj_dir/V@NAME@_tb [+stall=1]
/* verilator lint_off STMTDLY */
module @NAME@_tb;
  parameter STALL = 0;            // a seed; 0 runs at full speed
  parameter FRAMES = @FRAMES@;
  parameter CYCLES = @CYCLES@;    // cycles from frame to frame that are expected, or 0
  parameter LATENCY = @LATENCY@;   // cycles from the first beat sent to the first received that are expected, or 0
  parameter TIMEOUT = @TIMEOUT@;
  localparam BEATS_IN = @BEATS_IN@;
  localparam BEATS_OUT = @BEATS_OUT@;
  localparam TOTAL_IN = FRAMES * BEATS_IN;
  localparam TOTAL_OUT = FRAMES * BEATS_OUT;

  reg clk = 1'b0;
  reg rst = 1'b1;
  reg [@BITS_IN@ - 1:0] s_tdata = 0;
  reg s_tvalid = 1'b0;
  reg s_tlast = 1'b0;
  wire s_tready;
  wire [@BITS_OUT@ - 1:0] m_tdata;
  wire m_tvalid;
  wire m_tlast;
  reg m_tready = 1'b0;
  wire frame_error;

  @NAME@ dut (
    .clk(clk), .rst(rst),
    .s_axis_tdata(s_tdata), .s_axis_tvalid(s_tvalid), .s_axis_tready(s_tready), .s_axis_tlast(s_tlast),
    .m_axis_tdata(m_tdata), .m_axis_tvalid(m_tvalid), .m_axis_tready(m_tready), .m_axis_tlast(m_tlast),
    .frame_error(frame_error)
  );

  reg [@BITS_IN@ - 1:0] inputs [0:TOTAL_IN - 1];
  reg [@BITS_OUT@ - 1:0] expected [0:TOTAL_OUT - 1];

  integer seed;
  reg stalled;
  integer cycle = 0;
  integer sent = 0;       // beats offered so far
  integer received = 0;   // beats taken so far
  integer errors = 0;
  integer first_in = -1;  // the cycle in which the first beat was taken from us
  integer first_out = -1;
  integer last_end = 0;   // the cycle in which the last frame ended
  integer interval = 0;   // from the end of one frame to the end of the next
  reg held = 1'b0;        // an offer was not taken in the cycle before
  reg [@BITS_OUT@:0] offer = 0;
  reg finished = 1'b0;

  initial begin
    seed = STALL;
    if ($value$plusargs("stall=%d", seed)) begin end
    stalled = seed != 0;
    $readmemh("@INPUT_FILE@", inputs);
    $readmemh("@EXPECTED_FILE@", expected);
  end

  always #5 clk = ~clk;

  // 1 in three cycles out of four; always at full speed.
  function go;
    input pausing;
    if (pausing)
      go = ($random(seed) & 3) != 0;
    else
      go = 1'b1;
  endfunction

  task complain;
    input [8 * 24 - 1:0] what;
    begin
      errors = errors + 1;
      if (errors <= 10)
        $display("frame %0d beat %0d, cycle %0d: %0s: got %h, expected %h", received / BEATS_OUT,
                 received % BEATS_OUT, cycle, what, m_tdata, expected[received]);
    end
  endtask

  task finish;
    begin
      finished <= 1'b1;
      if (frame_error !== 1'b0) begin
        errors = errors + 1;
        $display("frame_error is raised");
      end
      if (CYCLES != 0 && !stalled && received > 2 * BEATS_OUT && interval != CYCLES) begin
        errors = errors + 1;
        $display("%0d cycles from frame to frame, expected %0d", interval, CYCLES);
      end
      if (LATENCY != 0 && !stalled && received > 0 && first_out - first_in != LATENCY) begin
        errors = errors + 1;
        $display("latency %0d cycles, expected %0d", first_out - first_in, LATENCY);
      end
      if (received < TOTAL_OUT)
        $display("FAIL @NAME@: %0d of %0d beats after %0d cycles, %0d errors", received, TOTAL_OUT, cycle, errors);
      else if (errors != 0)
        $display("FAIL @NAME@: %0d errors in %0d beats", errors, received);
      else
        $display("PASS @NAME@: %0d frames, %0d beats, the first after %0d cycles, %0d cycles from frame to frame",
                 FRAMES, received, first_out - first_in, interval);
      $finish;
    end
  endtask

  always @(posedge clk) if (!finished) begin
    cycle = cycle + 1;
    if (cycle == 4)
      rst <= 1'b0;
    if (cycle > 5) begin
      // Results are judged before the next inputs are chosen: both look at the same cycle.
      if (held && (m_tvalid !== 1'b1 || {m_tlast, m_tdata} !== offer))
        complain("an offer was withdrawn");
      held = (m_tvalid === 1'b1) && !m_tready;
      offer = {m_tlast, m_tdata};
      if (m_tvalid === 1'b1 && m_tready)
        take;
      else if (m_tvalid !== 1'b0 && m_tvalid !== 1'b1)
        complain("tvalid is unknown");
      if (s_tvalid && s_tready && first_in < 0)
        first_in = cycle;
      if (!s_tvalid || s_tready) begin
        s_tvalid <= 1'b0;
        if (sent < TOTAL_IN)
          if (go(stalled)) begin
            s_tvalid <= 1'b1;
            s_tdata <= inputs[sent];
            s_tlast <= sent % BEATS_IN == BEATS_IN - 1;
            sent = sent + 1;
          end
      end
      m_tready <= go(stalled);
      if (received == TOTAL_OUT || cycle >= TIMEOUT)
        finish;
    end
  end

  task take;
    begin
      if (m_tdata !== expected[received])
        complain("wrong data");
      if (m_tlast !== (received % BEATS_OUT == BEATS_OUT - 1))
        complain("tlast in the wrong place");
      if (first_out < 0)
        first_out = cycle;
      received = received + 1;
      if (received % BEATS_OUT == 0) begin
        if (received > BEATS_OUT)
          interval = cycle - last_end;
        last_end = cycle;
      end
    end
  endtask
endmodule
"""
