//// reference
module top(input clk, input rst, input x, output z, output [7:0] seen);
  reg [2:0] s;
  reg [7:0] n;
  wire hit = s == 4 & x;
  always @(posedge clk)
    if (rst) begin s <= 0; n <= 0; end
    else begin
      case (s) 0: s <= x ? 1 : 0; 1: s <= x ? 2 : 0; 2: s <= x ? 2 : 3; 3: s <= x ? 4 : 0; 4: s <= x ? 2 : 0; default: s <= 0; endcase
      if (hit) n <= n + 1;
    end
  assign z = hit, seen = n;
endmodule
//// stimulus
rst = 1; cycle; cycle; rst = 0; begin_count;
repeat (2500) begin rst = $random % 80 == 0; x = $random % 3 != 0; cycle; end
//// level: stub
module top(input clk, input rst, input x, output z, output [7:0] seen);
endmodule
//// level: constants
module top(input clk, input rst, input x, output z, output [7:0] seen);
  assign z = 1, seen = 8'h55;
endmodule
//// level: the input in a register
module top(input clk, input rst, input x, output reg z, output reg [7:0] seen);
  always @(posedge clk) begin z <= x; seen <= {8{x}}; end
endmodule
//// level: z right, never counts
module top(input clk, input rst, input x, output z, output [7:0] seen);
  reg [3:0] h;
  always @(posedge clk) if (rst) h <= 0; else h <= {h[2:0], x};
  assign z = h == 4'b1101 & x, seen = 0;
endmodule
//// level: counts one pattern too short
module top(input clk, input rst, input x, output z, output reg [7:0] seen);
  reg [3:0] h;
  always @(posedge clk) if (rst) begin h <= 0; seen <= 0; end else begin h <= {h[2:0], x}; if (h == 4'b1101 & x) seen <= seen == 7 ? 0 : seen + 1; end
  assign z = h == 4'b1101 & x;
endmodule
//// level: right
module top(input clk, input rst, input x, output z, output reg [7:0] seen);
  reg [3:0] h;
  assign z = &{h[3:2], ~h[1], h[0], x};
  always @(posedge clk) begin h <= rst ? 0 : {h, x}; seen <= rst ? 0 : seen + z; end
endmodule
//// better: z a cycle late
module top(input clk, input rst, input x, output reg z, output [7:0] seen);
  reg [3:0] h;
  always @(posedge clk) begin h <= rst ? 0 : {h, x}; z <= ~rst & h == 4'b1101 & x; end
  assign seen = 0;
endmodule
//// worse: z toggles
module top(input clk, input rst, input x, output reg z, output [7:0] seen);
  always @(posedge clk) z <= rst ? 0 : ~z;
  assign seen = 0;
endmodule
//// better: right but for a misspelt keyword
module top(input clk, input rst, input x, output z, output reg [7:0] seen);
  reg [3:0] h;
  asign z = &{h[3:2], ~h[1], h[0], x};
  always @(posedge clk) begin h <= rst ? 0 : {h, x}; seen <= rst ? 0 : seen + z; end
endmodule
//// worse: the input in a register
module top(input clk, input rst, input x, output reg z, output reg [7:0] seen);
  always @(posedge clk) begin z <= x; seen <= x; end
endmodule
