// DSP48E1 and DSP48E2 as AMD's guides describe them (UG479, 7 Series DSP48E1 Slice; UG579, UltraScale Architecture DSP
// Slice): the ports and attributes that steps of cascades and scalers use. Whatever else is asked for is an error.
//
//   A --[A1]--[A2]--+
//                   x --[M]--+
//   B --[B1]--[B2]--+        + --[P]--> P, PCOUT
//   C --[C]--+               |
//            +--- Z ---------+
//   PCIN ----+               |
//   both by 17 bits to the right, too: PCIN >> 17, P >> 17

// What both have in common. The multiplier takes the lowest MULTIPLICAND bits of A.
module dsp48_model #(
  parameter MULTIPLICAND = 25,
  parameter AREG = 1,  // a register that is there alone is the second
  parameter BREG = 1,
  parameter CREG = 1
) (
  input CLK,
  input [29:0] A,
  input [17:0] B,
  input [47:0] C,
  input [47:0] PCIN,
  input [2:0] Z,  // OPMODE[6:4]
  input CEA1, CEA2, CEB1, CEB2, CEC, CEM, CEP,
  output [47:0] P
);
  reg signed [29:0] a1 = 0, a2 = 0;
  reg signed [17:0] b1 = 0, b2 = 0;
  reg signed [MULTIPLICAND+17:0] m = 0;
  reg signed [47:0] c1 = 0, p = 0;
  wire signed [MULTIPLICAND-1:0] multiplicand = a2[MULTIPLICAND-1:0];
  wire signed [47:0] pcin = PCIN;
  wire signed [47:0] lower = (Z[1] ? p : pcin) >>> 17;
  wire signed [47:0] z = Z == 3'b011 ? (CREG == 1 ? c1 : C) : Z[2] ? lower : pcin;
  always @(posedge CLK) begin
    if (CEA1) a1 <= A;
    if (CEB1) b1 <= B;
    if (CEA2) a2 <= AREG == 2 ? a1 : A;
    if (CEB2) b2 <= BREG == 2 ? b1 : B;
    if (CEC) c1 <= C;
    if (CEM) m <= multiplicand * b2;
    if (CEP) p <= z + m;
  end
  assign P = p;
`ifndef YOSYS
  initial if (AREG != 1 && AREG != 2 || BREG != 1 && BREG != 2) $error("%m: AREG and BREG are not 1 or 2");
  initial if (CREG != 0 && CREG != 1) $error("%m: CREG is not 0 or 1");
  always @(posedge CLK) if (Z !== 3'b001 && Z !== 3'b011 && Z !== 3'b101 && Z !== 3'b110)
    $error("%m: Z is neither PCIN nor C, nor what is 17 bits to the right of PCIN or P");
`endif
endmodule

module DSP48E1 #(
  parameter integer ACASCREG = 1, ADREG = 1, ALUMODEREG = 1, AREG = 1, BCASCREG = 1, BREG = 1, CARRYINREG = 1,
  parameter integer CARRYINSELREG = 1, CREG = 1, DREG = 1, INMODEREG = 1, MREG = 1, OPMODEREG = 1, PREG = 1,
  parameter A_INPUT = "DIRECT", B_INPUT = "DIRECT", USE_DPORT = "FALSE", USE_MULT = "MULTIPLY",
  parameter USE_PATTERN_DETECT = "NO_PATDET", USE_SIMD = "ONE48"
) (
  input CLK,
  input [29:0] A, ACIN,
  input [17:0] B, BCIN,
  input [47:0] C, PCIN,
  input [24:0] D,
  input [6:0] OPMODE,
  input [4:0] INMODE,
  input [3:0] ALUMODE,
  input [2:0] CARRYINSEL,
  input CARRYIN, CARRYCASCIN, MULTSIGNIN,
  input CEA1, CEA2, CEAD, CEALUMODE, CEB1, CEB2, CEC, CECARRYIN, CECTRL, CED, CEINMODE, CEM, CEP,
  input RSTA, RSTALLCARRYIN, RSTALUMODE, RSTB, RSTC, RSTCTRL, RSTD, RSTINMODE, RSTM, RSTP,
  output [47:0] P, PCOUT
);
  dsp48_model #(.MULTIPLICAND(25), .AREG(AREG), .BREG(BREG), .CREG(CREG)) model (
    .CLK(CLK), .A(A), .B(B), .C(C), .PCIN(PCIN), .Z(OPMODE[6:4]), .P(P),
    .CEA1(CEA1), .CEA2(CEA2), .CEB1(CEB1), .CEB2(CEB2), .CEC(CEC), .CEM(CEM), .CEP(CEP)
  );
  assign PCOUT = P;
`ifndef YOSYS
  initial begin
    if (ACASCREG != AREG || BCASCREG != BREG) $error("%m: the cascade of operands has other registers");
    if (ALUMODEREG || CARRYINREG || CARRYINSELREG || INMODEREG || OPMODEREG) $error("%m: registers of controls");
    if (MREG != 1 || PREG != 1) $error("%m: no registers behind the multiplier and the adder");
    if (A_INPUT != "DIRECT" || B_INPUT != "DIRECT") $error("%m: operands from a cascade");
    if (USE_DPORT != "FALSE" || USE_MULT != "MULTIPLY" || USE_SIMD != "ONE48") $error("%m: another operation");
    if (USE_PATTERN_DETECT != "NO_PATDET") $error("%m: a pattern detector");
  end
  always @(posedge CLK) begin
    if (OPMODE[3:0] !== 4'b0101) $error("%m: X and Y are not the product");
    if ({INMODE, ALUMODE, CARRYINSEL, CARRYIN, CARRYCASCIN, MULTSIGNIN} !== 0) $error("%m: another operation");
    if ({RSTA, RSTALLCARRYIN, RSTALUMODE, RSTB, RSTC, RSTCTRL, RSTD, RSTINMODE, RSTM, RSTP} !== 0) $error("%m: reset");
    if ({CEAD, CEALUMODE, CECARRYIN, CECTRL, CED, CEINMODE} !== 0) $error("%m: a register that is not there");
    if ({ACIN, BCIN, D} !== 0) $error("%m: a port that is not there");
  end
`endif
endmodule

module DSP48E2 #(
  parameter integer ACASCREG = 1, ADREG = 1, ALUMODEREG = 1, AREG = 1, BCASCREG = 1, BREG = 1, CARRYINREG = 1,
  parameter integer CARRYINSELREG = 1, CREG = 1, DREG = 1, INMODEREG = 1, MREG = 1, OPMODEREG = 1, PREG = 1,
  parameter A_INPUT = "DIRECT", B_INPUT = "DIRECT", AMULTSEL = "A", BMULTSEL = "B", PREADDINSEL = "A",
  parameter USE_MULT = "MULTIPLY", USE_PATTERN_DETECT = "NO_PATDET", USE_SIMD = "ONE48", USE_WIDEXOR = "FALSE"
) (
  input CLK,
  input [29:0] A, ACIN,
  input [17:0] B, BCIN,
  input [47:0] C, PCIN,
  input [26:0] D,
  input [8:0] OPMODE,
  input [4:0] INMODE,
  input [3:0] ALUMODE,
  input [2:0] CARRYINSEL,
  input CARRYIN, CARRYCASCIN, MULTSIGNIN,
  input CEA1, CEA2, CEAD, CEALUMODE, CEB1, CEB2, CEC, CECARRYIN, CECTRL, CED, CEINMODE, CEM, CEP,
  input RSTA, RSTALLCARRYIN, RSTALUMODE, RSTB, RSTC, RSTCTRL, RSTD, RSTINMODE, RSTM, RSTP,
  output [47:0] P, PCOUT
);
  dsp48_model #(.MULTIPLICAND(27), .AREG(AREG), .BREG(BREG), .CREG(CREG)) model (
    .CLK(CLK), .A(A), .B(B), .C(C), .PCIN(PCIN), .Z(OPMODE[6:4]), .P(P),
    .CEA1(CEA1), .CEA2(CEA2), .CEB1(CEB1), .CEB2(CEB2), .CEC(CEC), .CEM(CEM), .CEP(CEP)
  );
  assign PCOUT = P;
`ifndef YOSYS
  initial begin
    if (ACASCREG != AREG || BCASCREG != BREG) $error("%m: the cascade of operands has other registers");
    if (ALUMODEREG || CARRYINREG || CARRYINSELREG || INMODEREG || OPMODEREG) $error("%m: registers of controls");
    if (MREG != 1 || PREG != 1) $error("%m: no registers behind the multiplier and the adder");
    if (A_INPUT != "DIRECT" || B_INPUT != "DIRECT") $error("%m: operands from a cascade");
    if (AMULTSEL != "A" || BMULTSEL != "B" || PREADDINSEL != "A") $error("%m: operands from the pre-adder");
    if (USE_MULT != "MULTIPLY" || USE_SIMD != "ONE48" || USE_WIDEXOR != "FALSE") $error("%m: another operation");
    if (USE_PATTERN_DETECT != "NO_PATDET") $error("%m: a pattern detector");
  end
  always @(posedge CLK) begin
    if (OPMODE[3:0] !== 4'b0101) $error("%m: X and Y are not the product");
    if (OPMODE[8:7] !== 2'b00) $error("%m: W is not 0");
    if ({INMODE, ALUMODE, CARRYINSEL, CARRYIN, CARRYCASCIN, MULTSIGNIN} !== 0) $error("%m: another operation");
    if ({RSTA, RSTALLCARRYIN, RSTALUMODE, RSTB, RSTC, RSTCTRL, RSTD, RSTINMODE, RSTM, RSTP} !== 0) $error("%m: reset");
    if ({CEAD, CEALUMODE, CECARRYIN, CECTRL, CED, CEINMODE} !== 0) $error("%m: a register that is not there");
    if ({ACIN, BCIN, D} !== 0) $error("%m: a port that is not there");
  end
`endif
endmodule
