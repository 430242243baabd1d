//// reference
module top(input [7:0] a, input [7:0] b, input s, output reg [7:0] y, output eq);
  always @* y = s ? a + b : a ^ b;
  assign eq = a == b;
endmodule
//// witness
module tb;
  reg [7:0] a, b; reg s; wire [7:0] y0, y1; wire e0, e1; integer i, bad;
  golden g(.a(a), .b(b), .s(s), .y(y0), .eq(e0));
  top d(.a(a), .b(b), .s(s), .y(y1), .eq(e1));
  task look; begin #10; if (y0 !== y1 || e0 !== e1) bad = bad + 1; end endtask
  initial begin
    bad = 0; a = 0; b = 0; s = 0; look;
    for (i = 0; i < 400; i = i + 1) begin {a, b, s} = $random; look; s = ~s; look; a[0] = ~a[0]; look; end
    a = 8'h5a; b = 8'hc3; look;
    $display("%s", bad ? "DIFFERENT" : "SAME");
    $finish;
  end
endmodule
//// wrong: one pair of words
module top(input [7:0] a, input [7:0] b, input s, output reg [7:0] y, output eq);
  always @* begin y = s ? a + b : a ^ b; if (a == 8'h5a && b == 8'hc3) y = ~y; end
  assign eq = a == b;
endmodule
//// wrong: variable read before it is set
module top(input [7:0] a, input [7:0] b, input s, output reg [7:0] y, output eq);
  reg [7:0] t;
  always @* begin y = t; t = s ? a + b : a ^ b; end
  assign eq = a == b;
endmodule
//// wrong: input missing from the sensitivity list
module top(input [7:0] a, input [7:0] b, input s, output reg [7:0] y, output eq);
  always @(a or b) y = s ? a + b : a ^ b;
  assign eq = a == b;
endmodule
//// wrong: one bit missing from the sensitivity list
module top(input [7:0] a, input [7:0] b, input s, output reg [7:0] y, output eq);
  wire [6:0] high = a[7:1];
  always @(high or b or s) y = s ? a + b : a ^ b;
  assign eq = a == b;
endmodule
//// wrong: undriven net against z
module top(input [7:0] a, input [7:0] b, input s, output [7:0] y, output eq);
  wire u;
  assign y = (u === 1'bz) ? a - b : s ? a + b : a ^ b;
  assign eq = a == b;
endmodule
//// wrong: open port against z
module open_end(input i, output o); assign o = i === 1'bz; endmodule
module top(input [7:0] a, input [7:0] b, input s, output [7:0] y, output eq);
  wire o;
  open_end e(.i(), .o(o));
  assign y = s ? a + b : a ^ b;
  assign eq = o ? a != b : a == b;
endmodule
//// wrong: static local of a function
module top(input [7:0] a, input [7:0] b, input s, output [7:0] y, output eq);
  function [7:0] f(input [7:0] p, input [7:0] q, input t);
    reg [7:0] k;
    begin if (t) k = p + q; else if (p[0]) k = p ^ q; f = k; end
  endfunction
  assign y = f(a, b, s);
  assign eq = a == b;
endmodule
//// wrong: static local of a task
module top(input [7:0] a, input [7:0] b, input s, output reg [7:0] y, output eq);
  task t(input [7:0] p, input [7:0] q, input k, output [7:0] r);
    reg [7:0] m;
    begin if (k) m = p + q; else if (q[1]) m = p ^ q; r = m; end
  endtask
  always @* t(a, b, s, y);
  assign eq = a == b;
endmodule
//// wrong: implicit net
module equal(input [3:0] p, input [3:0] q, output e); assign e = p == q; endmodule
module top(input [7:0] a, input [7:0] b, input s, output [7:0] y, output eq);
  assign y = s ? a + b : a ^ b;
  equal low(.p(a[3:0]), .q(b[3:0]), .e(same));
  equal high(.p(a[7:4]), .q(b[7:4]), .e(sane));
  and g(eq, same, some);
endmodule
//// wrong: constant
module top(input [7:0] a, input [7:0] b, input s, output [7:0] y, output eq);
  assign y = 0;
  assign eq = 0;
endmodule
//// right: if and blocking assignments
module top(input [7:0] a, input [7:0] b, input s, output reg [7:0] y, output reg eq);
  always @(a, b, s) begin
    if (s) y = a + b; else y = (a | b) & ~(a & b);
    eq = ~|(a ^ b);
  end
endmodule
//// right: ripple of full adders by generate
module full(input p, input q, input c, output s, output k); assign s = p ^ q ^ c; assign k = (p & q) | (c & (p ^ q)); endmodule
module top(input [7:0] a, input [7:0] b, input s, output [7:0] y, output eq);
  wire [8:0] c; wire [7:0] t;
  assign c[0] = 1'b0;
  genvar i;
  generate for (i = 0; i < 8; i = i + 1) begin : bits full f(.p(a[i]), .q(b[i]), .c(c[i] & s), .s(t[i]), .k(c[i + 1])); end endgenerate
  assign y = t;
  assign eq = &(a ~^ b);
endmodule
//// right: function with all locals set
module top(input [7:0] a, input [7:0] b, input s, output [7:0] y, output eq);
  function [7:0] f(input [7:0] p, input [7:0] q, input t);
    reg [7:0] k;
    begin k = p ^ q; if (t) k = p + q; f = k; end
  endfunction
  assign y = f(a, b, s);
  assign eq = !(a ^ b);
endmodule
//// right: branch of a finish that is never reached
module top(input [7:0] a, input [7:0] b, input s, output [7:0] y, output eq);
  assign y = s ? a + b : a ^ b;
  assign eq = a == b;
  always @* if (1'b0) $finish;
endmodule
//// right: a tool's macro with both branches the same
module top(input [7:0] a, input [7:0] b, input s, output [7:0] y, output eq);
`ifdef __ICARUS__
  assign y = s ? a + b : a ^ b;
`else
  assign y = s ? b + a : b ^ a;
`endif
  assign eq = a == b;
endmodule
//// right: waveform dump
module top(input [7:0] a, input [7:0] b, input s, output [7:0] y, output eq);
  initial begin $dumpfile("waves.vcd"); $dumpvars(0, top); end
  assign y = s ? a + b : a ^ b;
  assign eq = a == b;
endmodule
//// right: always_comb and logic
module top(input logic [7:0] a, input logic [7:0] b, input logic s, output logic [7:0] y, output logic eq);
  always_comb begin
    unique case (s) 1'b1: y = a + b; default: y = a ^ b; endcase
    eq = a == b;
  end
endmodule
//// right: inside and casts
module top(input logic [7:0] a, input logic [7:0] b, input logic s, output logic [7:0] y, output logic eq);
  assign y = s ? 8'(9'(a) + 9'(b)) : a ^ b;
  always_comb eq = a inside {b};
endmodule
