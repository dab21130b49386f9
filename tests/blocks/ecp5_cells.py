"""MULT18X18D and ALU54B of an ECP5 in Verilog: what steps of cascades use of them, and of the ALU all that it can add
up. Written after the simulation model of ALU54A that Lattice ships for its ECP3, the family before, and after nextpnr's
and Project Trellis' names; not tried on a board. Ports that are left open count as 0, as nextpnr ties them."""


def verilog() -> str:
    """Both cells."""
    return _MULTIPLIER + _ADDER


def _pins(name: str, width: int) -> str:
    return ", ".join(f"{name}{n}" for n in reversed(range(width)))


def _driven(name: str, width: int) -> str:
    """What is at a port, 0 where nothing is."""
    return ", ".join(f"({name}{n} !== 1'bz) & {name}{n}" for n in reversed(range(width)))


_MULTIPLIER = f"""
module MULT18X18D(
  input {_pins("A", 18)}, {_pins("B", 18)}, SIGNEDA, SIGNEDB, CLK0, CE0, RST0,
  output {_pins("P", 36)}, {_pins("ROA", 18)}, {_pins("ROB", 18)}, SIGNEDP
);
  parameter REG_INPUTA_CLK = "NONE", REG_INPUTB_CLK = "NONE", REG_INPUTC_CLK = "NONE";
  parameter REG_PIPELINE_CLK = "NONE", REG_OUTPUT_CLK = "NONE", SOURCEB_MODE = "B_SHIFT";
  parameter MULT_BYPASS = "DISABLED", RESETMODE = "SYNC", GSR = "ENABLED";
  wire [18:0] a = {{SIGNEDA & A17, {_pins("A", 18)}}}, b = {{SIGNEDB & B17, {_pins("B", 18)}}};
  reg [18:0] a_held = 0, b_held = 0;
  reg [35:0] pipeline = 0, held = 0;
  wire signed [18:0] a_used = REG_INPUTA_CLK == "NONE" ? a : a_held;
  wire signed [18:0] b_used = REG_INPUTB_CLK == "NONE" ? b : b_held;
  wire signed [37:0] product = a_used * b_used;
  wire [35:0] used = REG_PIPELINE_CLK == "NONE" ? product[35:0] : pipeline;
  always @(posedge CLK0)
    if (RST0) begin a_held <= 0; b_held <= 0; pipeline <= 0; held <= 0; end
    else if (CE0) begin a_held <= a; b_held <= b; pipeline <= product[35:0]; held <= used; end
  assign {{{_pins("P", 36)}}} = REG_OUTPUT_CLK == "NONE" ? used : held;
  assign {{{_pins("ROA", 18)}}} = a_used[17:0];
  assign {{{_pins("ROB", 18)}}} = b_used[17:0];
  assign SIGNEDP = SIGNEDA | SIGNEDB;
endmodule
"""

_ADDER = f"""
module ALU54B(
  input {_pins("A", 36)}, {_pins("B", 36)}, {_pins("MA", 36)}, {_pins("MB", 36)}, {_pins("C", 54)}, {_pins("CIN", 54)},
  input {_pins("OP", 11)}, SIGNEDIA, SIGNEDIB, CLK0, CE0, RST0,
  output {_pins("R", 54)}
);
  parameter REG_INPUTC0_CLK = "NONE", REG_INPUTC1_CLK = "NONE", REG_INPUTCFB_CLK = "NONE";
  parameter REG_OUTPUT0_CLK = "NONE", REG_OUTPUT1_CLK = "NONE", REG_FLAG_CLK = "NONE";
  parameter REG_OPCODEIN_0_CLK = "NONE", REG_OPCODEIN_1_CLK = "NONE";
  parameter REG_OPCODEOP0_0_CLK = "NONE", REG_OPCODEOP0_1_CLK = "NONE";
  parameter REG_OPCODEOP1_0_CLK = "NONE", REG_OPCODEOP1_1_CLK = "NONE";
  parameter MULT9_MODE = "DISABLED", LEGACY = "DISABLED", RESETMODE = "SYNC", GSR = "ENABLED";
  wire [53:0] given = {{{_driven("C", 54)}}}, cin = {{{_driven("CIN", 54)}}};
  reg [53:0] c_held = 0;
  wire [26:0] c_low = REG_INPUTC0_CLK == "NONE" ? given[26:0] : c_held[26:0];
  wire [53:0] c = {{REG_INPUTC1_CLK == "NONE" ? given[53:27] : c_held[53:27], c_low}};
  wire [35:0] ma = {{{_pins("MA", 36)}}}, mb = {{{_pins("MB", 36)}}};
  wire [10:0] op = {{{_pins("OP", 11)}}};
  reg [53:0] held = 0, x, y, z, sum;
  wire [53:0] back = {{held[51], held[51], held[51:0]}};
  always @* begin
    case (op[1:0])
      0: x = back;
      1: x = {{{{18{{SIGNEDIA & ma[35]}}}}, ma}};
      2: x = {{c[17:0], {_pins("A", 36)}}};
      default: x = 0;
    endcase
    case (op[3:2])
      0: y = {{mb, 18'b0}};
      1: y = {{{{18{{SIGNEDIB & mb[35]}}}}, mb}};
      2: y = {{c[44:27], {_pins("B", 36)}}};
      default: y = 0;
    endcase
    case (op[6:4])
      0: z = 0;
      2: z = cin;
      3: z = c;
      4: z = {{c[17:0], {_pins("A", 36)}}};
      5: z = back;
      default: z = 54'bx;
    endcase
    case (op[10:7])
      4: sum = x + y + z;
      5: sum = x - y + z;
      6: sum = x + y - z;
      7: sum = x - y - z;
      default: sum = 54'bx;
    endcase
  end
  always @(posedge CLK0)
    if (RST0) begin held <= 0; c_held <= 0; end
    else if (CE0) begin held <= sum; c_held <= given; end
  assign {{{_pins("R", 54)}}} = held;
endmodule
"""
