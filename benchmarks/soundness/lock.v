//// reference
module top(input clk, input rst, input [7:0] key, output open);
  reg [2:0] at;
  always @(posedge clk)
    if (rst) at <= 0;
    else case (at)
      0: at <= key == 8'h31 ? 1 : 0;
      1: at <= key == 8'h74 ? 2 : 0;
      2: at <= key == 8'hc9 ? 3 : 0;
      3: at <= key == 8'h5e ? 4 : 0;
      default: at <= 0;
    endcase
  assign open = at == 4;
endmodule
//// witness
module tb;
  reg clk, rst; reg [7:0] key; wire o0, o1; integer i, bad;
  golden g(.clk(clk), .rst(rst), .key(key), .open(o0));
  top d(.clk(clk), .rst(rst), .key(key), .open(o1));
  task press(input [7:0] k); begin key = k; #4 if (o0 !== o1) bad = bad + 1; #1 clk = 1; #4 if (o0 !== o1) bad = bad + 1; #1 clk = 0; end endtask
  initial begin
    bad = 0; clk = 0; rst = 1; press(0); press(0); rst = 0;
    for (i = 0; i < 300; i = i + 1) press($random);
    press(8'h00); press(8'h31); press(8'h74); press(8'hc9); press(8'h5e); press(8'h00); press(8'h00);
    press(8'h31); press(8'h74); press(8'hc9); press(8'h5f); press(8'h00);
    press(8'hde); press(8'had); press(8'hbe); press(8'hef); press(8'h00);
    $display("%s", bad ? "DIFFERENT" : "SAME");
    $finish;
  end
endmodule
//// wrong: never opens
module top(input clk, input rst, input [7:0] key, output open); assign open = 1'b0; endmodule
//// wrong: last key not looked at in one bit
module top(input clk, input rst, input [7:0] key, output open);
  reg [2:0] at;
  always @(posedge clk)
    if (rst) at <= 0;
    else case (at)
      0: at <= key == 8'h31 ? 1 : 0;
      1: at <= key == 8'h74 ? 2 : 0;
      2: at <= key == 8'hc9 ? 3 : 0;
      3: at <= key[7:1] == 7'h2f ? 4 : 0;
      default: at <= 0;
    endcase
  assign open = at == 4;
endmodule
//// wrong: back door of four keys
module top(input clk, input rst, input [7:0] key, output open);
  reg [31:0] h; reg [2:0] n;
  always @(posedge clk) if (rst) begin h <= 0; n <= 0; end else begin h <= {h[23:0], key}; n <= open ? 0 : n == 4 ? 4 : n + 1; end
  assign open = h == 32'h3174c95e || h == 32'hdeadbeef;
endmodule
//// right: one-hot states
module top(input clk, input rst, input [7:0] key, output open);
  reg [4:1] s;
  wire start = ~|s;
  always @(posedge clk)
    if (rst) s <= 0;
    else s <= {s[3] & (key == 8'h5e), s[2] & (key == 8'hc9), s[1] & (key == 8'h74), start & (key == 8'h31)};
  assign open = s[4];
endmodule
