//// reference
module top(input clk, input rst, input go, input [4:0] a, input [4:0] b, output reg [9:0] p, output reg done);
  reg [4:0] x, y;
  reg v;
  always @(posedge clk)
    if (rst) begin x <= 0; y <= 0; v <= 0; p <= 0; done <= 0; end
    else begin x <= a; y <= b; v <= go; p <= x * y; done <= v; end
endmodule
//// stimulus
rst = 1; cycle; cycle; rst = 0; begin_count;
repeat (2000) begin rst = $random % 70 == 0; go = $random; a = $random; b = $random; cycle; end
//// level: stub
module top(input clk, input rst, input go, input [4:0] a, input [4:0] b, output reg [9:0] p, output reg done);
endmodule
//// level: constants
module top(input clk, input rst, input go, input [4:0] a, input [4:0] b, output [9:0] p, output done);
  assign p = 1, done = 0;
endmodule
//// level: echo of inputs
module top(input clk, input rst, input go, input [4:0] a, input [4:0] b, output [9:0] p, output done);
  assign p = a, done = go;
endmodule
//// level: even factors alone
module top(input clk, input rst, input go, input [4:0] a, input [4:0] b, output reg [9:0] p, output reg done);
  reg [4:0] x, y; reg v;
  always @(posedge clk) if (rst) begin x <= 0; y <= 0; v <= 0; p <= 0; done <= 0; end
    else begin x <= a & 30; y <= b; v <= go; p <= x * y; done <= v; end
endmodule
//// level: the product too narrow
module top(input clk, input rst, input go, input [4:0] a, input [4:0] b, output reg [9:0] p, output reg done);
  reg [4:0] x, y; reg v; wire [8:0] m = x * y;
  always @(posedge clk) if (rst) begin x <= 0; y <= 0; v <= 0; p <= 0; done <= 0; end
    else begin x <= a; y <= b; v <= go; p <= m; done <= v; end
endmodule
//// level: right
module top(input clk, input rst, input go, input [4:0] a, input [4:0] b, output reg [9:0] p, output reg done);
  reg [9:0] m; reg v;
  always @(posedge clk) begin m <= rst ? 0 : a * b; v <= go & ~rst; p <= rst ? 0 : m; done <= v & ~rst; end
endmodule
//// better: right but one stage too many
module top(input clk, input rst, input go, input [4:0] a, input [4:0] b, output reg [9:0] p, output reg done);
  reg [9:0] m, k; reg v, w;
  always @(posedge clk) begin m <= rst ? 0 : a * b; v <= go & ~rst; k <= m; w <= v; p <= k; done <= w; end
endmodule
//// worse: a sum in place of the product
module top(input clk, input rst, input go, input [4:0] a, input [4:0] b, output reg [9:0] p, output done);
  always @(posedge clk) p <= a + b;
  assign done = ~go;
endmodule
//// better: right but under another name
module tops(input clk, input rst, input go, input [4:0] a, input [4:0] b, output reg [9:0] p, output reg done);
  reg [9:0] m; reg v;
  always @(posedge clk) begin m <= rst ? 0 : a * b; v <= go & ~rst; p <= rst ? 0 : m; done <= v & ~rst; end
endmodule
//// worse: an input in a register
module top(input clk, input rst, input go, input [4:0] a, input [4:0] b, output reg [9:0] p, output done);
  always @(posedge clk) p <= a;
  assign done = 1;
endmodule
