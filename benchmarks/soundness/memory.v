//// reference
module top(input clk, input we, input [5:0] wa, input [5:0] ra, input [7:0] d, output reg [7:0] q);
  reg [7:0] m [0:63];
  always @(posedge clk) begin if (we) m[wa] <= d; q <= m[ra]; end
endmodule
//// witness
module tb;
  reg clk, we; reg [5:0] wa, ra; reg [7:0] d; wire [7:0] q0, q1; integer i, bad;
  golden g(.clk(clk), .we(we), .wa(wa), .ra(ra), .d(d), .q(q0));
  top u(.clk(clk), .we(we), .wa(wa), .ra(ra), .d(d), .q(q1));
  task cycle; begin #4 clk = 1; #4 if (q0 !== q1) bad = bad + 1; #1 clk = 0; #1; end endtask
  initial begin
    bad = 0; clk = 0; we = 0; wa = 0; ra = 5; d = 0; cycle;
    we = 1;
    for (i = 0; i < 64; i = i + 1) begin wa = i; ra = i - 1; d = i * 7 + 3; cycle; end
    for (i = 0; i < 600; i = i + 1) begin we = $random; wa = $random; ra = ($random & 3) ? $random : wa; d = $random; cycle; end
    $display("%s", bad ? "DIFFERENT" : "SAME");
    $finish;
  end
endmodule
//// wrong: written word is read at once
module top(input clk, input we, input [5:0] wa, input [5:0] ra, input [7:0] d, output reg [7:0] q);
  reg [7:0] m [0:63];
  always @(posedge clk) begin if (we) m[wa] = d; q <= m[ra]; end
endmodule
//// wrong: half the words
module top(input clk, input we, input [5:0] wa, input [5:0] ra, input [7:0] d, output reg [7:0] q);
  reg [7:0] m [0:31];
  always @(posedge clk) begin if (we) m[wa[4:0]] <= d; q <= m[ra[4:0]]; end
endmodule
//// wrong: two-state words
module top(input clk, input we, input [5:0] wa, input [5:0] ra, input [7:0] d, output reg [7:0] q);
  bit [7:0] m [0:63];
  always @(posedge clk) begin if (we) m[wa] <= d; q <= m[ra]; end
endmodule
//// wrong: one address is lost
module top(input clk, input we, input [5:0] wa, input [5:0] ra, input [7:0] d, output reg [7:0] q);
  reg [7:0] m [0:63];
  always @(posedge clk) begin if (we && wa != 6'd41) m[wa] <= d; q <= m[ra]; end
endmodule
//// right: two blocks
module top(input clk, input we, input [5:0] wa, input [5:0] ra, input [7:0] d, output [7:0] q);
  reg [7:0] words [63:0]; reg [7:0] r;
  always @(posedge clk) r <= words[ra];
  always @(posedge clk) if (we) words[wa] <= d;
  assign q = r;
endmodule
