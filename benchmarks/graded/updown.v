//// reference
module top(input clk, input rst, input load, input up, input [5:0] d, output reg [5:0] q, output wrap);
  always @(posedge clk)
    if (rst) q <= 0;
    else if (load) q <= d;
    else q <= up ? q + 1 : q - 1;
  assign wrap = up ? &q : ~|q;
endmodule
//// stimulus
rst = 1; cycle; cycle; rst = 0; begin_count;
repeat (2000) begin rst = $random % 50 == 0; load = $random % 10 == 0; up = $random % 3 != 0; d = $random; cycle; end
//// level: stub
module top(input clk, input rst, input load, input up, input [5:0] d, output reg [5:0] q, output wrap);
endmodule
//// level: constants
module top(input clk, input rst, input load, input up, input [5:0] d, output [5:0] q, output wrap);
  assign q = 0, wrap = 1;
endmodule
//// level: the input in a register
module top(input clk, input rst, input load, input up, input [5:0] d, output reg [5:0] q, output wrap);
  always @(posedge clk) q <= d;
  assign wrap = 0;
endmodule
//// level: counts up alone
module top(input clk, input rst, input load, input up, input [5:0] d, output reg [5:0] q, output wrap);
  always @(posedge clk) if (rst) q <= 0; else if (load) q <= d; else q <= q + 1;
  assign wrap = &q;
endmodule
//// level: wrap forgets the direction
module top(input clk, input rst, input load, input up, input [5:0] d, output reg [5:0] q, output wrap);
  always @(posedge clk) if (rst) q <= 0; else if (load) q <= d; else q <= up ? q + 1 : q - 1;
  assign wrap = &q;
endmodule
//// level: right
module top(input clk, input rst, input load, input up, input [5:0] d, output reg [5:0] q, output wrap);
  wire [5:0] next = load ? d : q + {{5{~up}}, 1'b1};
  always @(posedge clk) q <= next & {6{~rst}};
  assign wrap = q == {6{up}};
endmodule
//// better: right but one cycle late
module top(input clk, input rst, input load, input up, input [5:0] d, output reg [5:0] q, output reg wrap);
  reg [5:0] n;
  always @(posedge clk) begin if (rst) n <= 0; else if (load) n <= d; else n <= up ? n + 1 : n - 1; q <= n; wrap <= up ? &n : ~|n; end
endmodule
//// worse: toggles
module top(input clk, input rst, input load, input up, input [5:0] d, output reg [5:0] q, output wrap);
  initial q = 0;
  always @(posedge clk) q <= ~q;
  assign wrap = q[0];
endmodule
//// better: right but for a missing end
module top(input clk, input rst, input load, input up, input [5:0] d, output reg [5:0] q, output wrap);
  always @(posedge clk) begin
    if (rst) q <= 0;
    else if (load) q <= d;
    else q <= up ? q + 1 : q - 1;
  assign wrap = up ? &q : ~|q;
endmodule
//// worse: the input in a register
module top(input clk, input rst, input load, input up, input [5:0] d, output reg [5:0] q, output wrap);
  always @(posedge clk) q <= d;
  assign wrap = 0;
endmodule
