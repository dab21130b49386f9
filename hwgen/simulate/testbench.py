"""A self-checking Verilog-2005 test bench for the exported top, and the vectors that it reads."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwgen.accelerator import Hardware
from hwgen.top.axi import AxiPort, AxiTop, tdata_words

INPUT_FILE = "input.hex"
LOAD_FILE = "weights.hex"


def expected_files(top: AxiTop) -> list[str]:
    """The files with what each output of ``top`` must give."""
    return [f"{name.replace('m_axis', 'expected')}.hex" for name in top.ports.values()]


@dataclass(frozen=True)
class Vectors:
    """Words of ``tdata`` for whole frames: those to send, and those that must come at each output."""

    inputs: tuple[int, ...]
    expected: tuple[tuple[int, ...], ...]
    frames: int

    @staticmethod
    def of(top: AxiTop, x: np.ndarray, *y: np.ndarray) -> "Vectors":
        """Vectors for ``top`` from frames ``x`` [N, H, W, C] and what they must give ``y`` [N, H, W, C]."""
        pairs = zip((x, *y), (top.source, *top.results), strict=True)
        inputs, *expected = (_words(len(x), values, port) for values, port in pairs)
        return Vectors(inputs, tuple(expected), len(x))

    def files(self, top: AxiTop) -> dict[str, str]:
        """The texts of ``input.hex`` and ``expected.hex``: a word in each line."""
        results = zip(expected_files(top), self.expected, top.results, strict=True)
        return {INPUT_FILE: hex_lines(self.inputs, top.source.bits)} | {
            name: hex_lines(words, port.bits) for name, words, port in results
        }


def _words(frames: int, values: np.ndarray, port: AxiPort) -> tuple[int, ...]:
    words = tdata_words(values, port.type, port.lanes)
    if len(words) != frames * port.beats:
        raise ValueError(f"{frames} frames are {frames * port.beats} beats, the array gives {len(words)}")
    return tuple(words)


def hex_lines(words: Sequence[int], bits: int) -> str:
    """Text for ``$readmemh``."""
    return "".join(f"{word:0{bits // 4}x}\n" for word in words)


def vector_files(made: Hardware) -> dict[str, str]:
    """The vectors of the samples, by golden."""
    return Vectors.of(made.component, *made.tensors.values()).files(made.component)


def bench_files(made: Hardware) -> dict[str, str]:
    """The test bench and its vectors, by the names of the files."""
    top, run, frames = made.component, made.schedule.run, len(made.samples)
    loaded = top.loads.load_bytes if top.loads else 0
    bench = verilog_testbench(
        made.name,
        top,
        frames,
        cycles=run.frame_end(frames - 1) - run.frame_end(frames - 2),
        latency=made.schedule.first_output + AxiTop.LATENCY,
        timeout=20 * (made.schedule.latency + frames * made.schedule.interval + loaded),
        waits=made.plan.waits_for_load,
    )
    return {f"{made.name}_tb.v": bench, **vector_files(made)}


def verilog_testbench(
    name: str,
    top: AxiTop,
    frames: int,
    *,
    cycles: int = 0,
    latency: int = 0,
    timeout: int = 1_000_000,
    waits: bool = False,
) -> str:
    """The text of module ``<name>_tb``: sends ``input.hex`` to module ``name`` and compares with ``expected.hex``
    (``expected_0.hex`` and so on where there are several outputs).

    Run it in the folder with these files: at full speed as it is, and with all ends pausing at random with the
    plusarg ``+stall=SEED`` (or parameter ``STALL``). Where ``top`` has weights to load, ``+load`` loads those in
    ``weights.hex`` first; it ``waits`` for them anyway where there are none before. It checks every word, the place of
    every ``tlast``, that an offer stays until it is taken, and ``frame_error``. At full speed it also checks the
    ``cycles`` from the end of a frame to that of the next (the last two of at least three frames) and the ``latency``
    from the first beat sent to the first received, where these are not 0. It ends with a line that begins with ``PASS``
    or ``FAIL``, after ``timeout`` cycles at the latest.
    """
    values = {
        "NAME": name,
        "BITS_IN": top.source.bits,
        "BEATS_IN": top.source.beats,
        "FRAMES": frames,
        "CYCLES": cycles,
        "LATENCY": latency,
        "TIMEOUT": timeout,
        "INPUT_FILE": INPUT_FILE,
        "EXPECTED_FILES": " and ".join(expected_files(top)),
        "LOAD_FILE": LOAD_FILE,
        "LOAD_BEATS": top.loads.load_beats if top.loads else 0,
        "FIRST_LOAD": "1'b1" if waits else '$test$plusargs("load")',
    }
    results = list(zip(top.ports.values(), expected_files(top), top.results, strict=True))
    text = _WITH_LOADS.sub(r"\1" if top.loads else "", _TEXT)
    text = _PER_OUTPUT.sub(lambda match: "".join(_for_output(match[1], *result) for result in results), text)
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    return text


#: What stands between these lines is there for each output.
_PER_OUTPUT = re.compile(r"^ *//\{\n(.*?)^ *//\}\n", re.MULTILINE | re.DOTALL)
#: What stands between these lines is there where weights are loaded.
_WITH_LOADS = re.compile(r"^ *//<\n(.*?)^ *//>\n", re.MULTILINE | re.DOTALL)


def _for_output(text: str, port: str, file: str, result: AxiPort) -> str:
    number = port.removeprefix("m_axis")
    values = {"n": number, "BITS_OUT": result.bits, "BEATS_OUT": result.beats, "EXPECTED_FILE": file}
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    return text


_TEXT = """\
// Self-checking test bench of @NAME@. Reads @INPUT_FILE@ and @EXPECTED_FILES@ in the current folder.
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
  localparam TOTAL_IN = FRAMES * BEATS_IN;
//{
  localparam BEATS_OUT@n@ = @BEATS_OUT@;
  localparam TOTAL_OUT@n@ = FRAMES * BEATS_OUT@n@;
//}

  reg clk = 1'b0;
  reg rst = 1'b1;
  reg [@BITS_IN@ - 1:0] s_tdata = 0;
  reg s_tvalid = 1'b0;
  reg s_tlast = 1'b0;
//<
  reg s_tuser = 1'b0;
//>
  wire s_tready;
//{
  wire [@BITS_OUT@ - 1:0] m_tdata@n@;
  wire m_tvalid@n@;
  wire m_tlast@n@;
  reg m_tready@n@ = 1'b0;
//}
  wire frame_error;

  @NAME@ dut (
    .clk(clk), .rst(rst),
    .s_axis_tdata(s_tdata), .s_axis_tvalid(s_tvalid), .s_axis_tready(s_tready), .s_axis_tlast(s_tlast),
//<
    .s_axis_tuser(s_tuser),
//>
//{
    .m_axis@n@_tdata(m_tdata@n@), .m_axis@n@_tvalid(m_tvalid@n@),
    .m_axis@n@_tready(m_tready@n@), .m_axis@n@_tlast(m_tlast@n@),
//}
    .frame_error(frame_error)
  );

  reg [@BITS_IN@ - 1:0] inputs [0:TOTAL_IN - 1];
//<
  reg [@BITS_IN@ - 1:0] weights [0:@LOAD_BEATS@ - 1];
//>
//{
  reg [@BITS_OUT@ - 1:0] expected@n@ [0:TOTAL_OUT@n@ - 1];
//}

  integer seed;
  reg stalled;
  integer cycle = 0;
  integer sent = 0;       // beats of frames offered so far
  integer to_load = 0;    // beats of weights that are still to be offered
  reg first_load = 1'b0;  // weights are loaded before the frames
  integer received = 0;   // beats taken so far, of all outputs
  integer wanted = 0;     // beats that must come
  integer ended = 0;      // whole frames received
  integer errors = 0;
  integer first_in = -1;  // the cycle in which the first beat was taken from us
  integer first_out = -1;
  integer last_end = 0;   // the cycle in which the last frame ended
  integer interval = 0;   // from the end of one frame to the end of the next
//{
  integer received@n@_here = 0;
  reg held@n@ = 1'b0;        // an offer was not taken in the cycle before
  reg [@BITS_OUT@:0] offer@n@ = 0;
//}
  reg finished = 1'b0;

  initial begin
    seed = STALL;
    if ($value$plusargs("stall=%d", seed)) begin end
    stalled = seed != 0;
    $readmemh("@INPUT_FILE@", inputs);
//<
    first_load = @FIRST_LOAD@;
    if (first_load) begin
      $readmemh("@LOAD_FILE@", weights);
      to_load = @LOAD_BEATS@;
    end
//>
//{
    $readmemh("@EXPECTED_FILE@", expected@n@);
    wanted = wanted + TOTAL_OUT@n@;
//}
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

//{
  task complain@n@;
    input [8 * 24 - 1:0] what;
    begin
      errors = errors + 1;
      if (errors <= 10)
        $display("m_axis@n@: frame %0d beat %0d, cycle %0d: %0s: got %h, expected %h", received@n@_here / BEATS_OUT@n@,
                 received@n@_here % BEATS_OUT@n@, cycle, what, m_tdata@n@, expected@n@[received@n@_here]);
    end
  endtask

//}
  task finish;
    begin
      finished <= 1'b1;
      if (frame_error !== 1'b0) begin
        errors = errors + 1;
        $display("frame_error is raised");
      end
      if (CYCLES != 0 && !stalled && ended > 2 && interval != CYCLES) begin
        errors = errors + 1;
        $display("%0d cycles from frame to frame, expected %0d", interval, CYCLES);
      end
      if (LATENCY != 0 && !stalled && !first_load && received > 0 && first_out - first_in != LATENCY) begin
        errors = errors + 1;
        $display("latency %0d cycles, expected %0d", first_out - first_in, LATENCY);
      end
      if (received < wanted)
        $display("FAIL @NAME@: %0d of %0d beats after %0d cycles, %0d errors", received, wanted, cycle, errors);
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
//{
      if (held@n@ && (m_tvalid@n@ !== 1'b1 || {m_tlast@n@, m_tdata@n@} !== offer@n@))
        complain@n@("an offer was withdrawn");
      held@n@ = (m_tvalid@n@ === 1'b1) && !m_tready@n@;
      offer@n@ = {m_tlast@n@, m_tdata@n@};
      if (m_tvalid@n@ === 1'b1 && m_tready@n@)
        take@n@;
      else if (m_tvalid@n@ !== 1'b0 && m_tvalid@n@ !== 1'b1)
        complain@n@("tvalid is unknown");
//}
      count_frames;
      if (s_tvalid && s_tready && first_in < 0)
        first_in = cycle;
      if (!s_tvalid || s_tready) begin
        s_tvalid <= 1'b0;
//<
        if (to_load > 0) begin
          if (go(stalled)) begin
            s_tvalid <= 1'b1;
            s_tuser <= 1'b1;
            s_tdata <= weights[@LOAD_BEATS@ - to_load];
            s_tlast <= to_load == 1;
            to_load = to_load - 1;
          end
        end else
//>
        if (sent < TOTAL_IN)
          if (go(stalled)) begin
            s_tvalid <= 1'b1;
//<
            s_tuser <= 1'b0;
//>
            s_tdata <= inputs[sent];
            s_tlast <= sent % BEATS_IN == BEATS_IN - 1;
            sent = sent + 1;
          end
      end
//{
      m_tready@n@ <= go(stalled);
//}
      if (received == wanted || cycle >= TIMEOUT)
        finish;
    end
  end

//{
  task take@n@;
    begin
      if (^expected@n@[received@n@_here] === 1'bx)
        complain@n@("no vector was read");
      if (m_tdata@n@ !== expected@n@[received@n@_here])
        complain@n@("wrong data");
      if (m_tlast@n@ !== (received@n@_here % BEATS_OUT@n@ == BEATS_OUT@n@ - 1))
        complain@n@("tlast in the wrong place");
      if (first_out < 0)
        first_out = cycle;
      received@n@_here = received@n@_here + 1;
      received = received + 1;
    end
  endtask

//}
  reg whole;  // every output has given the frame

  task count_frames;
    begin
      whole = 1'b1;
//{
      whole = whole && received@n@_here >= (ended + 1) * BEATS_OUT@n@;
//}
      if (whole) begin
        if (ended > 0)
          interval = cycle - last_end;
        last_end = cycle;
        ended = ended + 1;
      end
    end
  endtask
endmodule
"""
