//// reference
module top(input clk, input rst, input en, output reg [3:0] q, output tick);
  always @(posedge clk) if (rst) q <= 0; else if (en) q <= q == 9 ? 0 : q + 1;
  assign tick = en & (q == 9);
endmodule
//// witness
module tb;
  reg clk, rst, en; wire [3:0] q0, q1; wire t0, t1; integer i, bad;
  golden g(.clk(clk), .rst(rst), .en(en), .q(q0), .tick(t0));
  top d(.clk(clk), .rst(rst), .en(en), .q(q1), .tick(t1));
  task look; begin #4 if (q0 !== q1 || t0 !== t1) bad = bad + 1; end endtask
  task cycle; begin look; #1 clk = 1; look; #1 clk = 0; end endtask
  initial begin
    bad = 0; clk = 0; en = 1; rst = 1; #5 cycle; cycle; rst = 0;
    for (i = 0; i < 900; i = i + 1) cycle;
    for (i = 0; i < 400; i = i + 1) begin en = $random; rst = ($random & 15) == 0; cycle; end
    rst = 0; en = 1; cycle; cycle; rst = 1; look; rst = 0; cycle;
    $display("%s", bad ? "DIFFERENT" : "SAME");
    $finish;
  end
endmodule
//// wrong: asynchronous reset in place of a synchronous one
module top(input clk, input rst, input en, output reg [3:0] q, output tick);
  always @(posedge clk or posedge rst) if (rst) q <= 0; else if (en) q <= q == 9 ? 0 : q + 1;
  assign tick = en & (q == 9);
endmodule
//// wrong: deep state, stops after 700 enabled cycles
module top(input clk, input rst, input en, output reg [3:0] q, output tick);
  reg [9:0] n;
  always @(posedge clk) if (rst) begin q <= 0; n <= 0; end else if (en && n != 700) begin n <= n + 1; q <= q == 9 ? 0 : q + 1; end
  assign tick = en & (q == 9);
endmodule
//// wrong: initial value that the reset does not give
module top(input clk, input rst, input en, output reg [3:0] q, output tick);
  initial q = 3;
  always @(posedge clk) if (!rst && en) q <= q == 9 ? 0 : q + 1;
  assign tick = en & (q == 9);
endmodule
//// wrong: race between two clocked blocks
module top(input clk, input rst, input en, output reg [3:0] q, output tick);
  reg [3:0] n;
  always @(posedge clk) if (rst) n = 0; else if (en) n = n == 9 ? 0 : n + 1;
  always @(posedge clk) q = n;
  assign tick = en & (q == 9);
endmodule
//// wrong: clock copied by a nonblocking assignment
module top(input clk, input rst, input en, output reg [3:0] q, output tick);
  reg late; reg [3:0] next;
  always @* late <= clk;
  always @(posedge clk) if (rst) next <= 1; else if (en) next <= next == 9 ? 0 : next + 1;
  always @(posedge late) if (rst) q <= 0; else if (en) q <= next;
  assign tick = en & (q == 9);
endmodule
//// wrong: zero-width glitch used as a clock
module top(input clk, input rst, input en, output reg [3:0] q, output tick);
  reg late; wire pulse = clk & ~late; reg [3:0] p;
  always @* late <= clk;
  always @(posedge clk) if (rst) p <= 0; else if (en) p <= p == 9 ? 0 : p + 1;
  always @(negedge pulse) if (p[0]) q <= p; else q <= p;
  assign tick = en & (q == 9) & pulse | en & (q == 9) & ~clk;
endmodule
//// wrong: wraps one late
module top(input clk, input rst, input en, output reg [3:0] q, output tick);
  always @(posedge clk) if (rst) q <= 0; else if (en) q <= q == 10 ? 0 : q + 1;
  assign tick = en & (q == 9);
endmodule
//// wrong: both edges
module top(input clk, input rst, input en, output reg [3:0] q, output tick);
  always @(clk) if (rst) q <= 0; else if (en) q <= q == 9 ? 0 : q + 1;
  assign tick = en & (q == 9);
endmodule
//// right: next state in a block of its own
module top(input clk, input rst, input en, output reg [3:0] q, output tick);
  reg [3:0] n;
  always @* begin n = q; if (en) n = (q == 4'd9) ? 4'd0 : q + 4'd1; if (rst) n = 0; end
  always @(posedge clk) q <= n;
  assign tick = (q == 9) && en;
endmodule
//// right: output wire from a register
module top(input clk, input rst, input en, output [3:0] q, output tick);
  reg [3:0] r;
  assign q = r;
  always @(posedge clk) begin if (en) r <= tick ? 4'd0 : r + 4'd1; if (rst) r <= 4'd0; end
  assign tick = en & r[3] & ~r[2] & ~r[1] & r[0];
endmodule
//// right: blocking assignments in one block
module top(input clk, input rst, input en, output reg [3:0] q, output tick);
  always @(posedge clk) begin if (en) begin q = q + 1; if (q == 10) q = 0; end if (rst) q = 0; end
  assign tick = en & (q == 9);
endmodule
//// right: case for each state
module top(input clk, input rst, input en, output reg [3:0] q, output tick);
  always @(posedge clk)
    casez ({rst, en})
      2'b1?: q <= 0;
      2'b01: case (q) 9: q <= 0; default: q <= q + 1'b1; endcase
      default: ;
    endcase
  assign tick = en ? q == 9 : 1'b0;
endmodule
//// right: enum and always_ff
module top(input logic clk, input logic rst, input logic en, output logic [3:0] q, output logic tick);
  typedef enum logic { COUNT, WRAP } step_t;
  step_t step;
  always_comb step = (q == 4'd9) ? WRAP : COUNT;
  always_ff @(posedge clk) if (rst) q <= '0; else if (en) q <= step == WRAP ? '0 : q + 1'b1;
  assign tick = en && step == WRAP;
endmodule
//// right: task in a clocked block
module top(input clk, input rst, input en, output reg [3:0] q, output tick);
  task step; if (q == 9) q <= 0; else q <= q + 1; endtask
  always @(posedge clk) if (rst) q <= 0; else if (en) step;
  assign tick = en & (q == 9);
endmodule
