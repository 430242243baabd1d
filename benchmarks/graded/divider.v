//// reference
module top(input clk, input rst, output reg slow, output tick);
  reg [1:0] n;
  always @(posedge clk)
    if (rst) begin n <= 0; slow <= 0; end
    else if (n == 2) begin n <= 0; slow <= ~slow; end
    else n <= n + 1;
  assign tick = n == 2 & slow;
endmodule
//// stimulus
rst = 1; cycle; cycle; rst = 0; begin_count;
repeat (1500) begin rst = $random % 100 == 0; cycle; end
//// level: stub
module top(input clk, input rst, output reg slow, output tick);
endmodule
//// level: constants
module top(input clk, input rst, output slow, output tick);
  assign slow = 1, tick = 1;
endmodule
//// level: the clock itself
module top(input clk, input rst, output slow, output tick);
  assign slow = clk, tick = clk;
endmodule
//// level: divides by four
module top(input clk, input rst, output reg slow, output tick);
  reg n;
  always @(posedge clk) if (rst) begin n <= 0; slow <= 0; end else begin n <= ~n; if (n) slow <= ~slow; end
  assign tick = n & slow;
endmodule
//// level: a tick in both halves
module top(input clk, input rst, output reg slow, output tick);
  reg [1:0] n;
  always @(posedge clk) if (rst) begin n <= 0; slow <= 0; end else if (n == 2) begin n <= 0; slow <= ~slow; end else n <= n + 1;
  assign tick = n == 2;
endmodule
//// level: right
module top(input clk, input rst, output slow, output tick);
  reg [2:0] n;
  always @(posedge clk) if (rst || n == 5) n <= 0; else n <= n + 1;
  assign slow = n > 2, tick = n == 5;
endmodule
//// better: starts with the other half
module top(input clk, input rst, output reg slow, output tick);
  reg [1:0] n;
  always @(posedge clk) if (rst) begin n <= 0; slow <= 1; end else if (n == 2) begin n <= 0; slow <= ~slow; end else n <= n + 1;
  assign tick = n == 2 & slow;
endmodule
//// worse: toggles
module top(input clk, input rst, output reg slow, output tick);
  always @(posedge clk) slow <= rst ? 0 : ~slow;
  assign tick = slow;
endmodule
//// better: starts one cycle on
module top(input clk, input rst, output slow, output tick);
  reg [2:0] n;
  always @(posedge clk) if (rst) n <= 1; else n <= n == 5 ? 0 : n + 1;
  assign slow = n > 2, tick = n == 5;
endmodule
//// worse: toggles the other way round
module top(input clk, input rst, output reg slow, output tick);
  always @(posedge clk) slow <= rst ? 1 : ~slow;
  assign tick = 0;
endmodule
